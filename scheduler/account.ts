import type { Bytes } from '../base/index.js';

/** One thing that takes memory in an executor, and how much. */
export interface AccountItem {
  readonly what: string;
  readonly bytes: Bytes;
}

/**
 * Memory of an executor before any model is loaded: Node, onnxruntime's library, two event loops, what the
 * measuring of its device left and what it takes to build and compile a graph. Measured on Linux x64 with Node 20 and
 * onnxruntime 1.30, on models of a few kilobytes, in executors that had run other jobs before (docs/memory.md).
 */
export const RUNTIME_BYTES: Bytes = 172 * 2 ** 20;

/**
 * What an engine takes for values that need one byte: its arena grows by powers of two and is never full,
 * and it computes in an order of its own, in which more values live at once than in the graph's. Between what was measured
 * on a transformer (1.4) and on a convolution net (1.1): docs/memory.md.
 */
export const ARENA_OVERHEAD = 1.4;

/** What an executor takes beside what a model's values need. */
export interface Footprint {
  readonly runtimeBytes: Bytes;
  /** What its engine takes for values that need one byte. */
  readonly arenaOverhead: number;
  /** Whether the budget is of a device's own memory, where values alone are: the rest is in the host's. */
  readonly valuesOnly: boolean;
}

/** onnxruntime's on a CPU. */
export const CPU_FOOTPRINT: Footprint = {
  runtimeBytes: RUNTIME_BYTES,
  arenaOverhead: ARENA_OVERHEAD,
  valuesOnly: false,
};

/**
 * What counts against a device's budget. Memory of a device's own holds parameters, gradients and values: Node, libraries,
 * data sets and messages are in the host's, of which such a budget does not speak; the optimizer's state as well, but where
 * the update runs on the device (planner/device-update.ts).
 */
export function footprintOf({ engine = 'onnxruntime', ownMemory = false }: FootprintFacts): Footprint {
  const known = FOOTPRINTS[engine] ?? CPU_FOOTPRINT;
  return ownMemory ? (OWN_FOOTPRINTS[engine] ?? OWN_FOOTPRINT) : known;
}

interface FootprintFacts {
  readonly engine?: string;
  readonly ownMemory?: boolean;
}

/**
 * gpu.js shares buffers between values of one shape alone, or not at all, and holds what came in beside them. Measured on
 * training steps of 20 to 90 MiB in WebAssembly and plain JavaScript, and by its own count for WebGPU (docs/memory.md).
 */
const GPUJS_OVERHEAD = { host: 5.5, own: 4 } as const;
const GPUJS_RUNTIME_BYTES: Bytes = 208 * 2 ** 20;

const FOOTPRINTS: Readonly<Record<string, Footprint>> = {
  onnxruntime: CPU_FOOTPRINT,
  gpujs: { ...CPU_FOOTPRINT, runtimeBytes: GPUJS_RUNTIME_BYTES, arenaOverhead: GPUJS_OVERHEAD.host },
};
const OWN_FOOTPRINT: Footprint = { runtimeBytes: 0, arenaOverhead: 1.75, valuesOnly: true };
const OWN_FOOTPRINTS: Readonly<Record<string, Footprint>> = {
  gpujs: { ...OWN_FOOTPRINT, arenaOverhead: GPUJS_OVERHEAD.own },
};

/** A value that crosses segments is there three times: as the engine's output, its copy, and the next one's input. */
export const CROSSING_COPIES = 3;

/** The batch that is computed, and the one that is read meanwhile. */
export const BATCH_BUFFERS = 2;

/** What the frames of one stream of activations take at one of its ends, at most: `streamQueueBytes` in collectives/. */
export const STREAM_QUEUE_BYTES: Bytes = (256 * 2 ** 10 + 64) * 16;

/** Bound of the queues of one rank's ring edges: see collectives/. */
export const MESSAGE_BYTES: Bytes = 32 * 2 ** 20;

export function totalOf(account: readonly AccountItem[]): Bytes {
  return account.reduce((sum, item) => sum + item.bytes, 0);
}
