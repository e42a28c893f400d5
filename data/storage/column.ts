import { InvariantError } from '../../base/index.js';
import { elementsOf, type BatchArray, type DataType } from '../dataset.js';
import { DataError } from '../errors.js';
import type { Affine } from './affine.js';
import { decode, elementBytes, isFloat, type ElementKind } from './elements.js';
import type { ByteSource } from './source.js';

/** Where the samples of one tensor lie in a source, and what becomes of them. */
export interface ColumnLayout {
  readonly source: ByteSource;
  readonly kind: ElementKind;
  readonly littleEndian: boolean;
  /** Byte offset of sample 0. */
  readonly firstByte: number;
  /** Bytes from the start of a sample to that of the next; less than a sample's bytes where samples overlap. */
  readonly strideBytes: number;
  /** Dimensions of a sample as they lie in the file. */
  readonly sampleShape: readonly number[];
  /** What `read` writes. */
  readonly dtype: DataType;
  readonly affine?: Affine | undefined;
}

/**
 * One tensor of a dataset: `length` samples at regular distances in a source of bytes, decoded as they are read.
 *
 * Every format comes down to this. Three paths, chosen once: the stored form is the wanted one and is copied
 * (float32, int64, ...); bytes become float32 through a table of 256; everything else goes through one sample in
 * float64. Integers are written as two 32-bit words, which is several times faster than making BigInts; like all
 * typed arrays here it takes the host to be little-endian.
 */
export class Column {
  readonly elements: number;
  private readonly sampleBytes: number;
  private readonly scratch: Float64Array;
  private readonly path: 'copy' | 'table' | 'decode';
  private readonly table: Float32Array;

  constructor(readonly layout: ColumnLayout) {
    const { kind, littleEndian, dtype, affine } = layout;
    this.elements = elementsOf(layout.sampleShape);
    this.sampleBytes = this.elements * elementBytes(kind);
    const table = kind === 'u1' && dtype === 'float32' ? affine?.byteTable() : undefined;
    this.table = table ?? new Float32Array(0);
    const stored = littleEndian || elementBytes(kind) === 1;
    this.path = table ? 'table' : !affine && stored && STORED_AS[dtype] === kind ? 'copy' : 'decode';
    this.scratch = new Float64Array(this.path === 'decode' ? this.elements : 0);
  }

  get heldBytes(): number {
    return this.scratch.byteLength + this.table.byteLength;
  }

  /** Writes samples `first + rows[start, end)` from the start of `out`; the caller has checked that they exist. */
  fill(rows: ArrayLike<number>, start: number, end: number, first: number, out: BatchArray): void {
    const { source, firstByte, strideBytes } = this.layout;
    const needed = (end - start) * this.elements;
    if (out.length < needed || !matches(this.layout.dtype, out)) {
      throw new InvariantError(
        `a batch buffer must be ${this.layout.dtype} with ${needed} elements, found ${out.constructor.name} with ${out.length}`,
      );
    }
    const words =
      out instanceof BigInt64Array ? new Int32Array(out.buffer, out.byteOffset, 2 * out.length) : undefined;
    const bytes =
      this.path === 'copy' ? new Uint8Array(out.buffer, out.byteOffset, out.byteLength) : undefined;
    for (let i = start, to = 0; i < end; i++, to += this.elements) {
      const at = source.locate(firstByte + (first + rows[i]!) * strideBytes, this.sampleBytes);
      if (bytes) copyBytes(source.bytes, at, this.sampleBytes, bytes, to * out.BYTES_PER_ELEMENT);
      else if (this.path === 'table') this.lookUp(source.bytes, at, out as Float32Array, to);
      else this.convert(source.view, at, out, words, to);
    }
  }

  private lookUp(bytes: Uint8Array, at: number, out: Float32Array, to: number): void {
    const { table, elements } = this;
    for (let i = 0; i < elements; i++) out[to + i] = table[bytes[at + i]!]!;
  }

  private convert(
    view: DataView,
    at: number,
    out: BatchArray,
    words: Int32Array | undefined,
    to: number,
  ): void {
    const { scratch, elements } = this;
    decode(this.layout.kind, view, at, elements, this.layout.littleEndian, scratch);
    this.layout.affine?.apply(scratch, elements);
    if (words) {
      for (let i = 0; i < elements; i++) {
        const value = scratch[i]!;
        words[2 * (to + i)] = value | 0; // the low 32 bits, whatever the sign
        words[2 * (to + i) + 1] = Math.floor(value / 2 ** 32);
      }
    } else if (out instanceof Float32Array) {
      for (let i = 0; i < elements; i++) out[to + i] = scratch[i]!;
    } else if (out instanceof Int32Array) {
      for (let i = 0; i < elements; i++) {
        out[to + i] = scratch[i]!;
        if (out[to + i] !== scratch[i]) throw this.outOfRange(scratch[i]!);
      }
    } else {
      (out as Float64Array | Uint8Array).set(scratch, to);
    }
  }

  private outOfRange(value: number): DataError {
    const { name } = this.layout.source;
    return new DataError(
      'data_value',
      `${name}: ${value} does not fit in int32, which the model's input takes`,
      {
        file: name,
        found: value,
      },
    );
  }
}

/** The stored kind whose bytes are those of a batch, little-endian. */
const STORED_AS: Readonly<Record<DataType, ElementKind>> = {
  float32: 'f4',
  float64: 'f8',
  int32: 'i4',
  int64: 'i8',
  bool: 'b1',
};

/** Whether stored numbers of `kind` may be given to a tensor of `dtype` without losing their meaning. */
export function convertible(kind: ElementKind, dtype: DataType): boolean {
  if (dtype === 'float32' || dtype === 'float64') return true;
  if (dtype === 'bool') return kind === 'b1';
  return !isFloat(kind);
}

/** What stored numbers become where the model does not say: floats and integers of the usual width. */
export function naturalType(kind: ElementKind): DataType {
  if (kind === 'b1') return 'bool';
  return isFloat(kind) ? 'float32' : 'int64';
}

function matches(dtype: DataType, out: BatchArray): boolean {
  switch (dtype) {
    case 'float32':
      return out instanceof Float32Array;
    case 'float64':
      return out instanceof Float64Array;
    case 'int32':
      return out instanceof Int32Array;
    case 'int64':
      return out instanceof BigInt64Array;
    case 'bool':
      return out instanceof Uint8Array;
  }
}

/** A loop for few bytes, where a subarray for each sample would cost more than it copies. */
function copyBytes(from: Uint8Array, at: number, count: number, to: Uint8Array, toAt: number): void {
  if (count <= 64) for (let i = 0; i < count; i++) to[toAt + i] = from[at + i]!;
  else to.set(from.subarray(at, at + count), toAt);
}
