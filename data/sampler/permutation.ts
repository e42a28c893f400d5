import { keyOf, Random } from '../../base/index.js';

/**
 * The order in which an epoch visits the samples: a permutation of [0, length) that is a pure function of the seed and
 * the epoch (Fisher and Yates over counter-based random numbers), equal on every rank and every machine.
 *
 * Memory: 4 bytes a sample. Time: linear, some 20 ns a sample.
 */
export function permutation(length: number, seed: number, epoch: number): Uint32Array {
  const order = identity(length);
  return new Random(keyOf('sampler', seed, epoch)).shuffle(order);
}

/** [0, 1, ..., length - 1]. */
export function identity(length: number): Uint32Array {
  const order = new Uint32Array(length);
  for (let i = 0; i < length; i++) order[i] = i;
  return order;
}
