import type { Bytes } from '../base/index.js';
import { at, type ModelProfile } from './profile.js';

/** One thing that takes memory in an executor, and how much. */
export interface AccountItem {
  readonly what: string;
  readonly bytes: Bytes;
}

/**
 * Memory of an executor before any model is loaded: Node, onnxruntime's library, two event loops.
 * Measured on Linux x64 with Node 20 and onnxruntime 1.30 (docs/memory.md).
 */
export const RUNTIME_BYTES: Bytes = 150 * 2 ** 20;

/**
 * Everything that an executor holds during training, by name.
 *
 * Parameters and gradients are held twice: in the buckets that travel and are updated, and in the buffers
 * that the engine computes with. Optimizer state is sharded over the ranks (ZeRO-1).
 */
export function accountFor(
  profile: ModelProfile,
  samples: number,
  worldSize: number,
): readonly AccountItem[] {
  const items = [
    { what: 'runtime', bytes: RUNTIME_BYTES },
    { what: 'parameters', bytes: 2 * profile.parameterBytes },
    { what: 'gradients', bytes: 2 * profile.parameterBytes },
    { what: 'optimizer state', bytes: Math.ceil((profile.stateFactor * profile.parameterBytes) / worldSize) },
    { what: 'activations', bytes: Math.ceil(at(profile.activationBytes, samples)) },
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
  const perSample = profile.activationBytes.perSample + 2 * profile.batchBytes.perSample;
  const base = profile.activationBytes.base + 2 * profile.batchBytes.base;
  if (room < base) return 0;
  return perSample === 0 ? Infinity : Math.floor((room - base) / perSample);
}
