import { InvariantError } from '../../base/index.js';
import { bfloat16ToNumber, float16ToNumber, numberToBfloat16, numberToFloat16 } from '../ir/half.js';
import { emptyData, sizeOf, type Tensor } from '../ir/tensor.js';
import type { Reference } from '../operators/definition.js';

/** The float64 form of a tensor. */
export function toReference(tensor: Tensor): Reference {
  const { dtype, shape, data } = tensor;
  const values = new Float64Array(data.length);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    for (let i = 0; i < data.length; i++) values[i] = Number(data[i]!);
  } else if (dtype === 'float16' || dtype === 'bfloat16') {
    const decode = dtype === 'float16' ? float16ToNumber : bfloat16ToNumber;
    for (let i = 0; i < data.length; i++) values[i] = decode(data[i]!);
  } else {
    values.set(data);
  }
  return { dtype, shape, data: values };
}

/** The largest values of the 64-bit types, which float64 rounds up to a power of two. */
const LARGEST = { int64: 2n ** 63n - 1n, uint64: 2n ** 64n - 1n };

/**
 * A tensor of the reference's element type: floats are rounded, integers must be integers. 2^63 becomes the
 * largest int64 (and 2^64 the largest uint64): "to the end" in a Slice survives the way there and back.
 */
export function fromReference(reference: Reference): Tensor {
  const { dtype, shape, data: values } = reference;
  if (values.length !== sizeOf(shape)) throw new InvariantError('a reference value does not fill its shape');
  const data = emptyData(dtype, values.length);
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    const largest = data instanceof BigInt64Array ? LARGEST.int64 : LARGEST.uint64;
    for (let i = 0; i < values.length; i++) {
      const value = BigInt(values[i]!);
      data[i] = value > largest ? largest : value;
    }
  } else if (dtype === 'float16' || dtype === 'bfloat16') {
    const encode = dtype === 'float16' ? numberToFloat16 : numberToBfloat16;
    for (let i = 0; i < values.length; i++) data[i] = encode(values[i]!);
  } else {
    data.set(values);
  }
  return { dtype, shape, data };
}
