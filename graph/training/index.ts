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
export { cutIntoSegments, type Segments } from './segments.js';
