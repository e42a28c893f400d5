export * from './errors.js';
export * from './ir/element.js';
export * from './ir/graph.js';
export { copyTensor, detached } from './ir/detach.js';
export * from './ir/tensor.js';
export { isView } from './ir/view.js';
export { GraphBuilder } from './ir/builder.js';
export { bindGraph, type Binding } from './bind/index.js';
export * from './custom/index.js';
export {
  standardOperators,
  OperatorRegistry,
  type OperatorDefinition,
  type Reference,
} from './operators/index.js';
export {
  loadModel,
  onePiece,
  readModel,
  takesValue,
  withParameters,
  writeGraph,
  writeTypedGraph,
  type Model,
  type ReadOptions,
} from './onnx/index.js';
export {
  asStored,
  evaluate,
  faultIn,
  faultOf,
  fromReference,
  startValues,
  statisticsOf,
  steps,
  toReference,
  type Fault,
  type NamedValue,
  type Statistics,
  type Step,
  type StepOptions,
} from './reference/index.js';
export { differentiableOperators, unsupportedOperators, type UnsupportedOperator } from './gradient/index.js';
export { IGNORED_TARGET, LOSS_KINDS, LossError, targetTypeOf, type LossKind } from './loss/index.js';
export {
  buildEvaluationGraph,
  buildTrainingGraph,
  checkCounts,
  cutIntoSegments,
  fixedStatistics,
  forwardNodes,
  gradientOrder,
  LOSS_SCALE,
  originOf,
  peakActivationBytes,
  runningStatistics,
  setBatchNormalization,
  setLossOutput,
  type BatchNormalizationMode,
  type BatchStatistics,
  type DropoutMask,
  type EvaluationGraph,
  type LossGraphOptions,
  type Segments,
  type TrainingGraph,
  type TrainingOptions,
} from './training/index.js';
export {
  buildEvaluationStages,
  buildStages,
  sampleAxis,
  StageError,
  unitsOf,
  type Edge,
  type EvaluationStage,
  type EvaluationStageOptions,
  type SampleAxis,
  type StageGraphs,
  type StageOptions,
} from './pipeline/index.js';
export * from './weights/index.js';
