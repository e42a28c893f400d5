import { create } from '@bufbuild/protobuf';
import { elementCode, elementType } from '../ir/element.js';
import {
  bytesOf,
  bytesPerElement,
  dataFromBytes,
  emptyData,
  formatType,
  sizeOf,
  type DataType,
  type Tensor,
  type TensorType,
} from '../ir/tensor.js';
import { modelError, type Place } from './fail.js';
import { TensorProtoSchema, type TensorProto } from './gen/onnx_pb.js';

/** TensorProto.DataLocation.EXTERNAL */
export const EXTERNAL = 1;

/** Axes above this are a mistake, not a model. */
const LARGEST_RANK = 64;

/**
 * The type that a TensorProto declares. Nothing is allocated by it.
 * @throws ModelError for a negative or overflowing dimension or an element type the IR lacks
 */
export function tensorType(proto: TensorProto, place: Place): TensorType {
  const code = proto.dataType ?? 0;
  const dtype = elementType(code);
  const what = `tensor "${proto.name ?? ''}"`;
  if (dtype === undefined || dtype === 'string') {
    throw modelError(
      place,
      `${what} has ONNX element type ${code}${dtype ? ` (${dtype})` : ''}; floats of 16, 32 and 64 bits, integers of 8 to 64 bits and bool would be accepted`,
    );
  }
  if (proto.dims.length > LARGEST_RANK) {
    throw modelError(
      place,
      `${what} has ${proto.dims.length} dimensions; at most ${LARGEST_RANK} would be accepted`,
    );
  }
  const shape = proto.dims.map(Number);
  const fits = shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0);
  if (!fits || !Number.isSafeInteger(sizeOf(shape) * bytesPerElement(dtype))) {
    throw modelError(
      place,
      `${what} has the dimensions [${proto.dims.join(', ')}]; lengths from 0, with a product below 2^53, would be accepted`,
    );
  }
  return { dtype, shape };
}

/**
 * The tensor of a TensorProto, from its raw bytes or its typed field. Its size is checked against the bytes
 * that are there before anything is allocated.
 * @throws ModelError
 */
export function readTensor(proto: TensorProto, place: Place): Tensor {
  const { dtype, shape } = tensorType(proto, place);
  const size = sizeOf(shape);
  const what = `tensor "${proto.name ?? ''}" (${formatType({ dtype, shape })})`;
  if (proto.dataLocation === EXTERNAL) {
    throw modelError(
      place,
      `${what} lies in another file; load the model from its folder, or send it as one file`,
    );
  }
  if (proto.rawData && (proto.rawData.length > 0 || size === 0)) {
    const needed = size * bytesPerElement(dtype);
    if (proto.rawData.byteLength !== needed) {
      throw modelError(place, `${what} needs ${needed} bytes; the file holds ${proto.rawData.byteLength}`);
    }
    return { dtype, shape, data: dataFromBytes(dtype, proto.rawData) };
  }
  const values = typedField(proto, dtype);
  if (values.length !== size) {
    throw modelError(place, `${what} needs ${size} elements; the file holds ${values.length}`);
  }
  const data = emptyData(dtype, size);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    for (let i = 0; i < size; i++) data[i] = BigInt(values[i]!);
  } else {
    for (let i = 0; i < size; i++) data[i] = Number(values[i]!);
  }
  return { dtype, shape, data };
}

/** The field that holds a type's elements where there are no raw bytes; 16-bit floats are bits in int32_data. */
function typedField(proto: TensorProto, dtype: DataType): readonly (number | bigint)[] {
  switch (dtype) {
    case 'float32':
      return proto.floatData;
    case 'float64':
      return proto.doubleData;
    case 'int64':
      return proto.int64Data;
    case 'uint32':
    case 'uint64':
      return proto.uint64Data;
    default:
      return proto.int32Data;
  }
}

/** A TensorProto with the tensor's bytes, which are not copied. */
export function writeTensor(name: string, tensor: Tensor): TensorProto {
  return create(TensorProtoSchema, {
    name,
    dataType: elementCode(tensor.dtype),
    dims: tensor.shape.map(BigInt),
    rawData: bytesOf(tensor),
  });
}
