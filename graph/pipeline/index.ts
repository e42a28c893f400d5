export { divide, type Division } from './boundary.js';
export { StageError } from './errors.js';
export { splitPhases, type Phase } from './phases.js';
export { buildStages, type Edge, type StageGraphs, type StageOptions } from './stage.js';
export { unitsOf } from './units.js';
