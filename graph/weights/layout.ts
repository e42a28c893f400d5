import { InvariantError } from '../../base/index.js';
import { byteLengthOf, bytesPerElement, formatType, type TensorType } from '../ir/tensor.js';
import { LENGTH_BYTES, METADATA, TAGS } from './header.js';

/** A file before its tensors' bytes are written. */
export interface Layout {
  /** The file's beginning: the header with its length before it. */
  readonly header: Uint8Array;
  /** Where each tensor begins, in bytes from the end of the header, in the order in which they lie in the file. */
  readonly starts: ReadonlyMap<string, number>;
}

/**
 * Lays tensors out in a safetensors file.
 *
 * The header keeps the map's order. In the file, wider elements come first, so that each tensor is aligned to
 * its element (the header is padded to 8 bytes) and a reader needs no copy.
 * @throws InvariantError for an element type that the format lacks (`string`)
 * @see https://github.com/huggingface/safetensors#format
 */
export function layoutOf(
  tensors: ReadonlyMap<string, TensorType>,
  metadata: ReadonlyMap<string, string>,
): Layout {
  const ordered = [...tensors].sort(([, a], [, b]) => bytesPerElement(b.dtype) - bytesPerElement(a.dtype));
  const starts = new Map<string, number>();
  let end = 0;
  for (const [name, type] of ordered) {
    starts.set(name, end);
    end += byteLengthOf(type);
  }
  const members: string[] = [];
  if (metadata.size > 0) members.push(`"${METADATA}":${JSON.stringify(Object.fromEntries(metadata))}`);
  for (const [name, type] of tensors) {
    const dtype = TAGS[type.dtype];
    if (dtype === undefined || name === METADATA) {
      throw new InvariantError(`"${name}" (${formatType(type)}) has no form in safetensors`);
    }
    const start = starts.get(name)!;
    const entry = { dtype, shape: type.shape, data_offsets: [start, start + byteLengthOf(type)] };
    members.push(`${JSON.stringify(name)}:${JSON.stringify(entry)}`);
  }
  const json = new TextEncoder().encode(`{${members.join(',')}}`);
  const header = new Uint8Array(LENGTH_BYTES + Math.ceil(json.byteLength / 8) * 8).fill(0x20);
  new DataView(header.buffer).setBigUint64(0, BigInt(header.byteLength - LENGTH_BYTES), true);
  header.set(json, LENGTH_BYTES);
  return { header, starts };
}
