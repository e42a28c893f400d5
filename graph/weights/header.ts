import { bytesPerElement, formatType, sizeOf, type DataType } from '../ir/tensor.js';
import { WeightsError } from './errors.js';

/** The format's own limit: a longer header is refused before it is parsed. */
const LONGEST_HEADER = 100_000_000;
export const METADATA = '__metadata__';

/** The format's names of element types. */
export const TAGS: Readonly<Partial<Record<DataType, string>>> = {
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
export interface Entry {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly start: number;
  readonly end: number;
}

/** What a file says of itself. */
export interface Header {
  /** In the header's order. */
  readonly entries: readonly Entry[];
  readonly metadata: ReadonlyMap<string, string>;
}

/** A file begins with so many bytes that tell how long the header is. */
export const LENGTH_BYTES = 8;

/**
 * Where the header ends, in bytes from the start of the file.
 * @param start the first bytes of the file, 8 of them where it has so many
 * @param size of the whole file
 * @throws WeightsError
 */
export function headerEnd(start: Uint8Array, size: number, source: string): number {
  const fail = failing(source);
  const pickle = start[0] === 0x80 || (start[0] === 0x50 && start[1] === 0x4b); // a pickle, or a ZIP of one
  if (pickle && start[LENGTH_BYTES - 1] !== 0) {
    return fail(
      'this is a checkpoint of torch.save; write a safetensors file instead: ' +
        'safetensors.torch.save_file(model.state_dict(), "model.safetensors")',
    );
  }
  if (size < LENGTH_BYTES) return fail(`${size} bytes are too few for a safetensors file`);
  const announced = new DataView(start.buffer, start.byteOffset, LENGTH_BYTES).getBigUint64(0, true);
  if (announced > BigInt(LONGEST_HEADER)) {
    return fail(
      `a header of ${announced} bytes is over the limit of ${LONGEST_HEADER}: not a safetensors file?`,
    );
  }
  const end = LENGTH_BYTES + Number(announced);
  if (end > size) return fail(`truncated: the header needs ${end} bytes, the file has ${size}`);
  return end;
}

/**
 * Guarantees: every tensor lies inside the file, none overlaps another, no byte belongs to none.
 * @param bytes of the header, without the length before it
 * @param dataSize bytes of the file after the header
 * @throws WeightsError
 * @see https://github.com/huggingface/safetensors#format
 */
export function parseHeader(bytes: Uint8Array, dataSize: number, source: string): Header {
  const fail = failing(source);
  const metadata = new Map<string, string>();
  const entries: Entry[] = [];
  for (const [name, value] of Object.entries(parseJson(bytes, fail))) {
    if (name !== METADATA) {
      entries.push(parseEntry(name, value, fail));
      continue;
    }
    if (!isRecord(value)) return fail(`${METADATA} is not an object`);
    for (const [key, text] of Object.entries(value)) {
      if (typeof text !== 'string') return fail(`${METADATA}.${key} is not text`);
      metadata.set(key, text);
    }
  }
  checkLayout(entries, dataSize, fail);
  return { entries, metadata };
}

type Fail = (message: string) => never;

function failing(source: string): Fail {
  return (message) => {
    throw new WeightsError(`${source}: ${message}`, { ids: { source } });
  };
}

function parseJson(bytes: Uint8Array, fail: Fail): Record<string, unknown> {
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
