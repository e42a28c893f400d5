export { compareWith, relativeError, type Comparison, type Difference } from './against.js';
export { describeValue, type Described, type JsonNumber } from './describe.js';
export { UnknownNameError } from './errors.js';
export { openStep, type JobStep, type WhichStep } from './job-step.js';
export { nodesNamed, valuesNamed } from './names.js';
export {
  debugStep,
  PHASES,
  type DebugOptions,
  type DebugReport,
  type DebugRun,
  type FaultReport,
  type NodeReport,
  type Observer,
  type Onward,
  type Phase,
  type Stop,
} from './run.js';
