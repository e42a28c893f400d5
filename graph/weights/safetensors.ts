import { InvariantError } from '../../base/index.js';
import { bytesOf, bytesPerElement, dataFromBytes, formatType, type Tensor } from '../ir/tensor.js';
import { headerEnd, LENGTH_BYTES, METADATA, parseHeader, TAGS } from './header.js';

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
 * The file as a list of pieces to be written one after the other; the tensors' own bytes are not copied.
 *
 * The header keeps the map's order. In the file, wider elements come first, so that each tensor is aligned to
 * its element (the header is padded to 8 bytes) and a reader needs no copy.
 * @throws InvariantError for an element type that the format lacks (`string`)
 */
export function safetensorsChunks(
  tensors: ReadonlyMap<string, Tensor>,
  metadata: ReadonlyMap<string, string> = new Map(),
): readonly Uint8Array[] {
  const ordered = [...tensors].sort(([, a], [, b]) => bytesPerElement(b.dtype) - bytesPerElement(a.dtype));
  const starts = new Map<string, number>();
  let end = 0;
  for (const [name, tensor] of ordered) {
    starts.set(name, end);
    end += tensor.data.byteLength;
  }
  const members: string[] = [];
  if (metadata.size > 0) members.push(`"${METADATA}":${JSON.stringify(Object.fromEntries(metadata))}`);
  for (const [name, tensor] of tensors) {
    const dtype = TAGS[tensor.dtype];
    if (dtype === undefined || name === METADATA) {
      throw new InvariantError(`"${name}" (${formatType(tensor)}) has no form in safetensors`);
    }
    const start = starts.get(name)!;
    const entry = { dtype, shape: tensor.shape, data_offsets: [start, start + tensor.data.byteLength] };
    members.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  }
  const json = new TextEncoder().encode(`{${members.join(',')}}`);
  const header = new Uint8Array(8 + Math.ceil(json.byteLength / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.byteLength - 8), true);
  header.set(json, 8);
  return [header, ...ordered.map(([, tensor]) => bytesOf(tensor))];
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
