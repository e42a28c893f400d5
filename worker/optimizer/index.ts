export { clipFactor } from './clip.js';
export { OptimizerError } from './errors.js';
export { Optimizer, type Shard, type StepScalars } from './optimizer.js';
export { sumOfSquaresReference, updateReference } from './reference.js';
export { ruleOf, stateBytesPerElement, stateNames, type UpdateRule } from './rule.js';
export { learningRateAt, scheduleFactor } from './schedule.js';
export { settingsOf, type ParameterSettings, type Settings } from './settings.js';
export { spansWithin, type Span } from './spans.js';
