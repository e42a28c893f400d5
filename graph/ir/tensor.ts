import { InvariantError } from '../../base/index.js';

/** Element types that the IR carries; names follow ONNX, in lower case. */
export type DataType =
  | 'float32'
  | 'float64'
  | 'float16'
  | 'bfloat16'
  | 'int8'
  | 'int16'
  | 'int32'
  | 'int64'
  | 'uint8'
  | 'uint16'
  | 'uint32'
  | 'uint64'
  | 'bool'
  | 'string';

export type TensorData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Int16Array
  | Int32Array
  | BigInt64Array
  | Uint8Array
  | Uint16Array
  | Uint32Array
  | BigUint64Array;

/** The element type and the dimensions of a value, all known. A scalar has no dimensions. */
export interface TensorType {
  readonly dtype: DataType;
  readonly shape: readonly number[];
}

/** A dimension of a graph's input before it is bound: a length or the name of a symbol (`batch`). */
export type Dimension = number | string;

/**
 * A constant or a parameter: row-major elements. `float16` and `bfloat16` hold their bits in a Uint16Array,
 * `bool` holds 0 or 1 in a Uint8Array. Treat the data as read-only: graphs share it.
 */
export interface Tensor extends TensorType {
  readonly data: TensorData;
}

const BYTES: Readonly<Record<DataType, number>> = {
  float32: 4,
  float64: 8,
  float16: 2,
  bfloat16: 2,
  int8: 1,
  int16: 2,
  int32: 4,
  int64: 8,
  uint8: 1,
  uint16: 2,
  uint32: 4,
  uint64: 8,
  bool: 1,
  string: 0,
};

export function bytesPerElement(dtype: DataType): number {
  return BYTES[dtype];
}

/** The number of elements of a shape; 1 for a scalar. */
export function sizeOf(shape: readonly number[]): number {
  let size = 1;
  for (const dim of shape) size *= dim;
  return size;
}

export function byteLengthOf(type: TensorType): number {
  return sizeOf(type.shape) * BYTES[type.dtype];
}

export function isFloat(dtype: DataType): boolean {
  return dtype === 'float32' || dtype === 'float64' || dtype === 'float16' || dtype === 'bfloat16';
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** Row-major strides, in elements. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  return strides;
}

/** `axis` counted from the front: -1 becomes rank - 1. The caller has checked the range. */
export function normalizeAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** For messages: `float32[2,3]`. */
export function formatType(type: { readonly dtype: DataType; readonly shape: readonly Dimension[] }): string {
  return `${type.dtype}[${type.shape.join(',')}]`;
}

/** Zeros of a type. */
export function emptyData(dtype: DataType, size: number): TensorData {
  switch (dtype) {
    case 'float32':
      return new Float32Array(size);
    case 'float64':
      return new Float64Array(size);
    case 'float16':
    case 'bfloat16':
    case 'uint16':
      return new Uint16Array(size);
    case 'int8':
      return new Int8Array(size);
    case 'int16':
      return new Int16Array(size);
    case 'int32':
      return new Int32Array(size);
    case 'int64':
      return new BigInt64Array(size);
    case 'uint8':
    case 'bool':
      return new Uint8Array(size);
    case 'uint32':
      return new Uint32Array(size);
    case 'uint64':
      return new BigUint64Array(size);
    case 'string':
      throw new InvariantError('string tensors have no numeric storage');
  }
}

/** A view of raw little-endian bytes as elements; copies only when the bytes are not aligned. */
export function dataFromBytes(dtype: DataType, bytes: Uint8Array): TensorData {
  const width = BYTES[dtype];
  const aligned = bytes.byteOffset % Math.max(width, 1) === 0 ? bytes : new Uint8Array(bytes);
  const { buffer, byteOffset } = aligned;
  const size = aligned.byteLength / width;
  switch (dtype) {
    case 'float32':
      return new Float32Array(buffer, byteOffset, size);
    case 'float64':
      return new Float64Array(buffer, byteOffset, size);
    case 'float16':
    case 'bfloat16':
    case 'uint16':
      return new Uint16Array(buffer, byteOffset, size);
    case 'int8':
      return new Int8Array(buffer, byteOffset, size);
    case 'int16':
      return new Int16Array(buffer, byteOffset, size);
    case 'int32':
      return new Int32Array(buffer, byteOffset, size);
    case 'int64':
      return new BigInt64Array(buffer, byteOffset, size);
    case 'uint8':
    case 'bool':
      return new Uint8Array(buffer, byteOffset, size);
    case 'uint32':
      return new Uint32Array(buffer, byteOffset, size);
    case 'uint64':
      return new BigUint64Array(buffer, byteOffset, size);
    case 'string':
      throw new InvariantError('string tensors have no numeric storage');
  }
}

export function bytesOf(tensor: Tensor): Uint8Array {
  return new Uint8Array(tensor.data.buffer, tensor.data.byteOffset, tensor.data.byteLength);
}

/** A tensor from plain numbers. */
export function tensorOf(dtype: DataType, shape: readonly number[], values: ArrayLike<number>): Tensor {
  const data = emptyData(dtype, sizeOf(shape));
  if (values.length !== data.length) {
    throw new InvariantError(
      `${formatType({ dtype, shape })} needs ${data.length} values, got ${values.length}`,
    );
  }
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    for (let i = 0; i < data.length; i++) data[i] = BigInt(values[i]!);
  } else if (dtype === 'float16' || dtype === 'bfloat16') {
    throw new InvariantError('16-bit floats are made by the codec in graph/ir/half.ts');
  } else {
    for (let i = 0; i < data.length; i++) data[i] = values[i]!;
  }
  return { dtype, shape, data };
}

export function scalar(dtype: DataType, value: number): Tensor {
  return tensorOf(dtype, [], [value]);
}

/** An int64 vector: axes, shapes, pads. */
export function int64s(values: readonly number[]): Tensor {
  return tensorOf('int64', [values.length], values);
}
