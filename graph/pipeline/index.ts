export { divide, type Division } from './boundary.js';
export { StageError } from './errors.js';
export { buildEvaluationStages, type EvaluationStage, type EvaluationStageOptions } from './evaluation.js';
export type { Edge } from './part.js';
export { splitPhases, type Phase } from './phases.js';
export { sampleAxis, type SampleAxis } from './sample-axis.js';
export { buildStages, type StageGraphs, type StageOptions } from './stage.js';
export { unitsOf } from './units.js';
