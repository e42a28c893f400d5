export {
  buildEvaluationGraph,
  buildTrainingGraph,
  LOSS_SCALE,
  type EvaluationGraph,
  type LossGraphOptions,
  type TrainingGraph,
  type TrainingOptions,
} from './build.js';
export type { DropoutMask } from './dropout.js';
export { gradientOrder, peakActivationBytes } from './order.js';
export {
  checkCounts,
  fixedStatistics,
  runningStatistics,
  setBatchNormalization,
  type BatchNormalizationMode,
  type BatchStatistics,
} from './running-statistics.js';
export { cutIntoSegments, type Segments } from './segments.js';
