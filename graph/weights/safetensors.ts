import { InvariantError } from '../../base/index.js';
import {
  bytesOf,
  bytesPerElement,
  dataFromBytes,
  formatType,
  sizeOf,
  type DataType,
  type Tensor,
} from '../ir/tensor.js';
import { WeightsError } from './errors.js';

/** Named tensors, in the file's order, and free text about them. */
export interface Weights {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: ReadonlyMap<string, string>;
}

/** The format's own limit: a longer header is refused before it is parsed. */
const LONGEST_HEADER = 100_000_000;
const METADATA = '__metadata__';

const TAGS: Readonly<Partial<Record<DataType, string>>> = {
  float32: 'F32',
  float64: 'F64',
  float16: 'F16',
  bfloat16: 'BF16',
  int8: 'I8',
  int16: 'I16',
  int32: 'I32',
  int64: 'I64',
  uint8: 'U8',
  uint16: 'U16',
  uint32: 'U32',
  uint64: 'U64',
  bool: 'BOOL',
};
const DTYPES: ReadonlyMap<string, DataType> = new Map(
  Object.entries(TAGS).map(([dtype, tag]) => [tag, dtype as DataType]),
);

/** A tensor's entry in the header; offsets are bytes from the end of the header, half-open. */
interface Entry {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

/**
 * Reads a safetensors file.
 *
 * The tensors are views of `bytes` where their alignment allows it (copies otherwise), so `bytes` must not change.
 * Guarantees: every tensor lies inside the file, none overlaps another, no byte belongs to none.
 * @param source names the file in messages
 * @throws WeightsError
 * @see https://github.com/huggingface/safetensors#format
 */
export function readSafetensors(bytes: Uint8Array, source = 'the weights file'): Weights {
  const fail = (message: string): never => {
    throw new WeightsError(`${source}: ${message}`, { ids: { source } });
  };
  if (bytes.byteLength < 8) return fail(`${bytes.byteLength} bytes are too few for a safetensors file`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const announced = view.getBigUint64(0, true);
  if (announced > BigInt(LONGEST_HEADER)) {
    return fail(
      `a header of ${announced} bytes is over the limit of ${LONGEST_HEADER}: not a safetensors file?`,
    );
  }
  const headerEnd = 8 + Number(announced);
  if (headerEnd > bytes.byteLength) {
    return fail(`truncated: the header needs ${headerEnd} bytes, the file has ${bytes.byteLength}`);
  }
  const header = parseHeader(bytes.subarray(8, headerEnd), fail);
  const metadata = new Map<string, string>();
  const entries: Entry[] = [];
  for (const [name, value] of Object.entries(header)) {
    if (name === METADATA) {
      if (!isRecord(value)) return fail(`${METADATA} is not an object`);
      for (const [key, text] of Object.entries(value)) {
        if (typeof text !== 'string') return fail(`${METADATA}.${key} is not text`);
        metadata.set(key, text);
      }
    } else {
      entries.push(parseEntry(name, value, fail));
    }
  }
  checkLayout(entries, bytes.byteLength - headerEnd, fail);
  const tensors = new Map<string, Tensor>();
  for (const { name, dtype, shape, start, end } of entries) {
    tensors.set(name, {
      dtype,
      shape,
      data: dataFromBytes(dtype, bytes.subarray(headerEnd + start, headerEnd + end)),
    });
  }
  return { tensors, metadata };
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

type Fail = (message: string) => never;

function parseHeader(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    return fail('the header is not JSON in UTF-8: not a safetensors file?');
  }
  return isRecord(header) ? header : fail('the header is not a JSON object');
}

function parseEntry(name: string, value: unknown, fail: Fail): Entry {
  const what = `tensor "${name}"`;
  if (!isRecord(value)) return fail(`${what} is not described by an object`);
  const { dtype: tag, shape, data_offsets: offsets } = value;
  const dtype = typeof tag === 'string' ? DTYPES.get(tag) : undefined;
  if (dtype === undefined) {
    return fail(`${what} has element type ${JSON.stringify(tag)}; known are ${[...DTYPES.keys()].join(' ')}`);
  }
  if (!isLengths(shape)) return fail(`${what} has shape ${JSON.stringify(shape)}, not a list of lengths`);
  if (!isLengths(offsets) || offsets.length !== 2) {
    return fail(`${what} has data_offsets ${JSON.stringify(offsets)}, not [start, end]`);
  }
  const [start, end] = offsets as [number, number];
  const needed = sizeOf(shape) * bytesPerElement(dtype);
  if (end - start !== needed) {
    return fail(
      `${what}: ${formatType({ dtype, shape })} needs ${needed} bytes, its offsets hold ${end - start}`,
    );
  }
  return { name, dtype, shape, start, end };
}

/** The tensors tile [0, size) exactly: no overlap, no hole, nothing outside. */
function checkLayout(entries: readonly Entry[], size: number, fail: Fail): void {
  const sorted = [...entries].sort((a, b) => a.start - b.start || a.end - b.end);
  let end = 0;
  let before = 'the header';
  for (const entry of sorted) {
    if (entry.start < end) fail(`tensor "${entry.name}" overlaps ${before}`);
    if (entry.start > end)
      fail(`bytes ${end} to ${entry.start} before tensor "${entry.name}" belong to no tensor`);
    if (entry.end > size) {
      fail(`truncated: tensor "${entry.name}" ends at byte ${entry.end} of the data, the file holds ${size}`);
    }
    end = entry.end;
    before = `tensor "${entry.name}"`;
  }
  if (end !== size) fail(`${size - end} bytes at the end belong to no tensor`);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isLengths(value: unknown): value is readonly number[] {
  return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && (item as number) >= 0);
}
