export { layoutBatch, type BatchLayout } from './batch-layout.js';
export { scoreOf, type Score } from './accuracy.js';
export { fillDropoutMask } from './dropout.js';
export { RankRun, type RankHost, type RankResult } from './rank.js';
