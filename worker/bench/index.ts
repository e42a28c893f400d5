export { BenchError } from './errors.js';
export { parseInputSpec, type InputSpec } from './input.js';
export { benchmarkStep, type StepBenchOptions, type StepBenchResult } from './step.js';
export { timingOf, type Timing } from './timing.js';
