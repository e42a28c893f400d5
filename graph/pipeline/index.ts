export { StageError } from './errors.js';
export { buildEvaluationStages, type EvaluationStage, type EvaluationStageOptions } from './evaluation.js';
export type { Edge } from './part.js';
export { sampleAxis, type SampleAxis } from './sample-axis.js';
export { undividedValues, type Bound } from './sample-layout.js';
export { buildStages, type StageGraphs, type StageOptions } from './stage.js';
export { unitsOf } from './units.js';
