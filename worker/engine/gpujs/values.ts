import type { DataType, TensorData } from '../../../graph/index.js';

/** Element types that values on the device may have; all are float32 there. */
export const HELD_TYPES: ReadonlySet<DataType> = new Set(['float32', 'int64', 'int32', 'bool']);

/** Up to here float32 counts every integer. */
export const LARGEST_INTEGER = 2 ** 24;

/**
 * Elements that gpu.js reads without a copy of its own: a pipeline samples its arguments when it is called, and these
 * do not change until the run is over.
 */
export class Sampled extends Float32Array<ArrayBufferLike> {
  override slice(): Float32Array<ArrayBuffer> {
    return this as unknown as Float32Array<ArrayBuffer>;
  }
}

/** A float32 array as the device takes it, over the same memory. */
export function sampled(array: Float32Array): Sampled {
  return new Sampled(array.buffer, array.byteOffset, array.length);
}

/**
 * Writes elements of any held type as float32.
 * @returns the first integer that float32 cannot hold, if there is one
 */
export function toFloats(from: TensorData, to: Float32Array): number | undefined {
  if (from instanceof BigInt64Array || from instanceof BigUint64Array) {
    for (let i = 0; i < from.length; i++) {
      const value = Number(from[i]!);
      if (value > LARGEST_INTEGER || value < -LARGEST_INTEGER) return value;
      to[i] = value;
    }
    return undefined;
  }
  to.set(from);
  if (from instanceof Int32Array) return from.find((value) => Math.abs(value) > LARGEST_INTEGER);
  return undefined;
}

/**
 * Writes float32 results as elements of the output's type.
 * @returns the first integer that is larger than float32 holds exactly, if there is one
 */
export function fromFloats(from: Float32Array, to: TensorData): number | undefined {
  if (to instanceof Float32Array) {
    to.set(from);
    return undefined;
  }
  if (to instanceof BigInt64Array || to instanceof BigUint64Array) {
    for (let i = 0; i < from.length; i++) {
      const value = from[i]!;
      if (!(value <= LARGEST_INTEGER && value >= -LARGEST_INTEGER)) return value;
      to[i] = BigInt(Math.trunc(value));
    }
    return undefined;
  }
  to.set(from);
  return to instanceof Int32Array ? to.find((value) => Math.abs(value) > LARGEST_INTEGER) : undefined;
}
