import { MessageChannel } from 'node:worker_threads';
import { Tensor } from 'onnxruntime-node';
import {
  dataFromBytes,
  byteLengthOf,
  type TensorData,
  type TensorType,
  type DataType,
} from '../../../graph/index.js';
import type { ValueSpec } from '../port.js';

/** A value at a program's edge, and the type that it has on the device. */
export interface Edge {
  readonly spec: ValueSpec;
  readonly dtype: DataType;
}

const { port1: nowhere, port2: closed } = new MessageChannel();
closed.close();

/**
 * Frees what the binding returns: copies of the outputs that it has filled. Left to the garbage collector they would
 * take as much again for some steps, in pages that are new each time (docs/decisions/14). What is sent to a port that
 * is closed is freed at once.
 */
export function freeCopies(results: readonly Tensor[], outputs: readonly TensorData[]): void {
  const own = new Set<unknown>(outputs.map(({ buffer }) => buffer));
  const copies = results.flatMap((result) => {
    if (result.location !== 'cpu') return [];
    const { data } = result;
    return ArrayBuffer.isView(data) && !own.has(data.buffer) ? [data.buffer as ArrayBuffer] : [];
  });
  nowhere.postMessage(null, [...new Set(copies)]);
}

/** A host's array as the library's tensor, with the type that the device has for it; copied where the types differ. */
export function toDevice({ spec, dtype }: Edge, data: TensorData): Tensor {
  const narrow = dtype === 'int32' && spec.dtype === 'int64';
  const values = narrow ? narrowed(spec.name, data as BigInt64Array) : data;
  return new Tensor(dtype as 'float32', values as Float32Array, spec.shape);
}

/** Writes what the library has computed into a part of the host's memory. */
export function fromDevice(
  spec: TensorType,
  result: Tensor,
  buffer: ArrayBufferLike,
  byteOffset: number,
): void {
  const bytes = new Uint8Array(buffer as ArrayBuffer, byteOffset, byteLengthOf(spec));
  const target = dataFromBytes(spec.dtype, bytes);
  const { data } = result;
  if (target instanceof BigInt64Array && data instanceof Int32Array) {
    for (let i = 0; i < data.length; i++) target[i] = BigInt(data[i]!);
  } else (target as Float32Array).set(data as Float32Array);
}

/** @throws RangeError for a value beyond 32 bits */
function narrowed(name: string, values: BigInt64Array): Int32Array {
  const narrow = new Int32Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!;
    if (BigInt.asIntN(32, value) !== value) {
      throw new RangeError(`input "${name}" holds ${value} at ${i}: on this device indices have 32 bits`);
    }
    narrow[i] = Number(value);
  }
  return narrow;
}
