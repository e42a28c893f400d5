export { Arena, ALIGNMENT, type Allocation } from './arena.js';
export {
  Communicator,
  type Bucket,
  type CallOptions,
  type CommunicatorOptions,
} from './communicator/communicator.js';
export type { RankGroup } from './communicator/group.js';
export {
  DEFAULT_RING,
  edgeLimits,
  ringArenaBytes,
  ringQueueBytes,
  type RingOptions,
} from './communicator/options.js';
export * from './errors.js';
export { wireBytes, WIRE_FORMATS, type Kernels, type WireFormat } from './kernels/kernels.js';
export { referenceKernels } from './kernels/reference.js';
export { wasmKernels } from './kernels/wasm.js';
export { shardBounds, type Range } from './ring/bounds.js';
export { busBandwidth, ringCost, type RingCost } from './ring/cost.js';
export type { CollectiveKind } from './ring/program.js';
export type { Flow } from './stream/flow.js';
export { Inbox, type InboxOptions } from './stream/inbox.js';
export { DEFAULT_STREAM, streamQueueBytes, type StreamOptions } from './stream/options.js';
export { Outbox, type OutboxOptions } from './stream/outbox.js';
export type { MessageTag } from './stream/tag.js';
export { failTogether, type Failing } from './together.js';
export { MemoryNetwork, type MemoryNetworkOptions, type Tamper } from './transport/memory.js';
export {
  DEFAULT_LIMITS,
  type Edge,
  type EdgeLimits,
  type EdgeListener,
  type Member,
  type Message,
  type Transport,
} from './transport/transport.js';
export { ZeroMqTransport, type ZeroMqOptions } from './transport/zeromq.js';
export { benchmarkAllReduce, type AllReduceBenchmark, type AllReduceResult } from './bench/allreduce.js';
