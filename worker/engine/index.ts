export { createEngine, engineNamed } from './create.js';
export {
  BufferError,
  CompileError,
  ComputeThreadError,
  DeviceMemoryError,
  EngineUnavailableError,
  RunError,
} from './errors.js';
export { largestWithin, measureRates, productGraph } from './rates/index.js';
export {
  checkBuffers,
  engineNames,
  inputSpecs,
  outputSpecs,
  type Engine,
  type EngineName,
  type DeviceMemory,
  type EngineOptions,
  type Fallback,
  type FallbackPolicy,
  type Program,
  type ValueSpec,
} from './port.js';
export { operatorsOf, unsupportedNodes } from './support.js';
export { ComputeThread, type OnReleased, type Sequence } from './thread/compute-thread.js';
export type {
  CompiledProgram,
  Exchange,
  HeldBuffer,
  ReturnedBuffer,
  RunBuffer,
  SegmentTiming,
  ThreadOptions,
} from './thread/messages.js';
export {
  checkSequence,
  placeInOne,
  type BufferPlan,
  type ProgramEdges,
  type ProgramId,
  type SegmentPlan,
  type SequencePlan,
  type Slot,
} from './thread/sequence.js';
