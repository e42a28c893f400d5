import type { Bytes } from '../base/index.js';
import { at, type Linear, type ModelProfile } from './profile.js';

/** One thing that takes memory in an executor, and how much. */
export interface AccountItem {
  readonly what: string;
  readonly bytes: Bytes;
}

/**
 * Memory of an executor before any model is loaded: Node, onnxruntime's library, two event loops, and what the
 * measuring of its device left. Measured on Linux x64 with Node 20 and onnxruntime 1.30 (docs/memory.md).
 */
export const RUNTIME_BYTES: Bytes = 190 * 2 ** 20;

/**
 * What an engine takes for values that need one byte: its arena grows by powers of two and is never full.
 * Measured on training steps of 8 to 160 MiB (docs/memory.md).
 */
export const ARENA_OVERHEAD = 1.75;

/** A value that crosses segments is there three times: as the engine's output, its copy, and the next one's input. */
const CROSSING_COPIES = 3;

/**
 * Everything that an executor holds during training, by name.
 *
 * Parameters and gradients are held twice: in the buckets that travel and are updated, and in the buffers
 * that the engine computes with. Frozen parameters are too: as the model's own values and in the engine's buffer.
 * Optimizer state is sharded over the ranks (ZeRO-1).
 */
export function accountFor(
  profile: ModelProfile,
  samples: number,
  worldSize: number,
): readonly AccountItem[] {
  const items = [
    { what: 'runtime', bytes: RUNTIME_BYTES },
    { what: 'parameters', bytes: 2 * profile.parameterBytes },
    { what: 'gradients', bytes: 2 * profile.trainedBytes },
    { what: 'optimizer state', bytes: Math.ceil((profile.stateFactor * profile.trainedBytes) / worldSize) },
    { what: 'activations', bytes: Math.ceil(ARENA_OVERHEAD * at(profile.activationBytes, samples)) },
    { what: 'between segments', bytes: Math.ceil(CROSSING_COPIES * at(profile.crossingBytes, samples)) },
    { what: 'batches', bytes: Math.ceil(2 * at(profile.batchBytes, samples)) },
    { what: 'data set', bytes: profile.datasetBytes },
    { what: 'messages', bytes: worldSize > 1 ? MESSAGE_BYTES : 0 },
  ];
  return items.filter((item) => item.bytes > 0);
}

/** Bound of the queues of one rank's ring edges: see collectives/. */
export const MESSAGE_BYTES: Bytes = 32 * 2 ** 20;

export function totalOf(account: readonly AccountItem[]): Bytes {
  return account.reduce((sum, item) => sum + item.bytes, 0);
}

/** The most samples a step that fit `budgetBytes`; 0 where not even one does, Infinity where samples are free. */
export function samplesWithin(profile: ModelProfile, budgetBytes: Bytes, worldSize: number): number {
  const room = budgetBytes - totalOf(accountFor(profile, 0, worldSize));
  const perSample = bytesPerSample(profile);
  const base = stepBytes(profile, (line) => line.base);
  if (room < base) return 0;
  return perSample === 0 ? Infinity : Math.floor((room - base) / perSample);
}

/** How much a device needs more for each sample of a step. */
export function bytesPerSample(profile: ModelProfile): Bytes {
  return stepBytes(profile, (line) => line.perSample);
}

function stepBytes(profile: ModelProfile, part: (line: Linear) => number): Bytes {
  return (
    ARENA_OVERHEAD * part(profile.activationBytes) +
    CROSSING_COPIES * part(profile.crossingBytes) +
    2 * part(profile.batchBytes)
  );
}
