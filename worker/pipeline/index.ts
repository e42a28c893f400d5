export { StageModel } from './stage-model.js';
export { StageRank, type StageRankOptions } from './stage-rank.js';
