export { StageModel } from './stage-model.js';
export { StageRank } from './stage-rank.js';
