import { bytesOf, dataFromBytes, type Tensor } from '../ir/tensor.js';
import { headerEnd, LENGTH_BYTES, parseHeader } from './header.js';
import { layoutOf } from './layout.js';

/** Named tensors, in the file's order, and free text about them. */
export interface Weights {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

/**
 * Reads a safetensors file that is in memory.
 *
 * The tensors are views of `bytes` where their alignment allows it (copies otherwise), so `bytes` must not change.
 * Guarantees: every tensor lies inside the file, none overlaps another, no byte belongs to none.
 * @param source names the file in messages
 * @throws WeightsError
 * @see https://github.com/huggingface/safetensors#format
 */
export function readSafetensors(bytes: Uint8Array, source = 'the weights file'): Weights {
  const end = headerEnd(bytes, bytes.byteLength, source);
  const header = parseHeader(bytes.subarray(LENGTH_BYTES, end), bytes.byteLength - end, source);
  const tensors = header.entries.map(({ name, dtype, shape, start, end: stop }): [string, Tensor] => [
    name,
    { dtype, shape, data: dataFromBytes(dtype, bytes.subarray(end + start, end + stop)) },
  ]);
  return { tensors: new Map(tensors), metadata: header.metadata };
}

/**
 * The file as a list of pieces to be written one after the other; the tensors' own bytes are not copied. Laid out by
 * `layoutOf`.
 * @throws InvariantError for an element type that the format lacks (`string`)
 */
export function safetensorsChunks(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: ReadonlyMap<string, string> = new Map(),
): readonly Uint8Array[] {
  const { header, starts } = layoutOf(tensors, metadata);
  return [header, ...[...starts.keys()].map((name) => bytesOf(tensors.get(name)!))];
}

/** The whole file in memory; for files larger than memory write `safetensorsChunks` one by one. */
export function writeSafetensors(
  tensors: ReadonlyMap<string, Tensor>,
  metadata?: ReadonlyMap<string, string>,
): Uint8Array {
  const chunks = safetensorsChunks(tensors, metadata);
  const file = new Uint8Array(chunks.reduce((size, chunk) => size + chunk.byteLength, 0));
  let at = 0;
  for (const chunk of chunks) {
    file.set(chunk, at);
    at += chunk.byteLength;
  }
  return file;
}
