export { fold, foldsOf, type Fold } from './fold.js';
export { RunningStatistics, StepStatistics } from './running-statistics.js';
