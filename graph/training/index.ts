export {
  buildEvaluationGraph,
  buildTrainingGraph,
  type EvaluationGraph,
  type TrainingGraph,
  type TrainingOptions,
} from './build.js';
export { setDropout, type DropoutMask } from './dropout.js';
export {
  batchOf,
  bindForward,
  LOSS_SCALE,
  lossOptions,
  lowerForEngines,
  prepareForward,
  type LossGraphOptions,
} from './forward.js';
export { setLossOutput } from './loss-output.js';
export { nameOutputs, type OutputName } from './name-outputs.js';
export { forwardNodes, originOf } from './origin.js';
export { gradientOrder, peakActivationBytes } from './order.js';
export {
  checkCounts,
  fixedStatistics,
  runningStatistics,
  setBatchNormalization,
  usesBatch,
  withoutUnreadStatistics,
  type BatchNormalizationMode,
  type BatchStatistics,
} from './running-statistics.js';
export { cutIntoSegments, type Segments } from './segments.js';
