export { evaluate } from './evaluate.js';
export { EvaluatingBuilder } from './evaluating-builder.js';
export { asStored, faultIn, faultOf, type Fault } from './fault.js';
export { statisticsOf, type Statistics } from './statistics.js';
export { startValues, steps, type NamedValue, type Step, type StepOptions } from './step.js';
export { fromReference, toReference } from './value.js';
