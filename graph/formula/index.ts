export { Formula, isDifferentiable, keptShape, sortedAxes, type Operand } from './formula.js';
export { inverseDeviation, normalizedByRoot, normalizedGroups } from './normalized.js';
export { NodeFormula } from './node-formula.js';
export { tupleRows, type TupleRows } from './tuples.js';
