import { Random, keyOf } from '../../base/index.js';
import {
  emptyData,
  formatType,
  isFloat,
  sizeOf,
  type DataType,
  type TensorData,
  type TensorType,
} from '../../graph/index.js';
import { BenchError } from './errors.js';

/** An input as described on the command line. */
export interface InputSpec extends TensorType {
  readonly name: string;
  /** Values of an integer input are drawn from [0, high). */
  readonly high: number | undefined;
}

const TYPES: readonly DataType[] = ['float32', 'float64', 'int64', 'int32', 'uint8', 'bool'];

/**
 * Reads `name=dtype[dims]:high`, for example `input=int64[16,64]:65` or `image=float32[32,3,32,32]`.
 * @throws BenchError saying what is wrong and how it is written
 */
export function parseInputSpec(text: string): InputSpec {
  const match = /^(.+)=([a-z]+\d*)\[(\d+(?:,\d+)*)?\](?::(\d+))?$/.exec(text);
  const dtype = TYPES.find((known) => known === match?.[2]);
  if (!match || !dtype) {
    throw new BenchError(
      `--input "${text}": write name=dtype[dims]:high, for example input=int64[16,64]:65; ` +
        `dtype is one of ${TYPES.join(', ')}, high is for integers`,
    );
  }
  const shape = match[3] === undefined ? [] : match[3].split(',').map(Number);
  const high = match[4] === undefined ? undefined : Number(match[4]);
  if (!isFloat(dtype) && dtype !== 'bool' && !(high !== undefined && high >= 1)) {
    throw new BenchError(`--input "${text}": integers need a bound above 0, for example ${text}:10`);
  }
  return { name: match[1]!, dtype, shape, high };
}

/**
 * Values to measure with: floats are standard normal, integers uniform in [0, high), booleans 0 or 1.
 * The same name gives the same values.
 */
export function randomValues(name: string, type: TensorType, high = 2): TensorData {
  const random = new Random(keyOf('bench', name));
  const data = emptyData(type.dtype, sizeOf(type.shape));
  if (data instanceof BigInt64Array || data instanceof BigUint64Array) {
    for (let i = 0; i < data.length; i++) data[i] = BigInt(random.below(high));
  } else if (data instanceof Float32Array || data instanceof Float64Array) {
    for (let i = 0; i < data.length; i++) data[i] = random.normal();
  } else if (isFloat(type.dtype)) {
    throw new BenchError(`"${name}" is ${formatType(type)}: only 32 and 64-bit floats can be drawn`);
  } else {
    for (let i = 0; i < data.length; i++) data[i] = random.below(high);
  }
  return data;
}
