import { InvariantError } from '../../base/index.js';
import type { DataType } from './tensor.js';

/** The IR's element types by their number in ONNX (TensorProto.DataType). */
const BY_CODE: ReadonlyMap<number, DataType> = new Map([
  [1, 'float32'],
  [2, 'uint8'],
  [3, 'int8'],
  [4, 'uint16'],
  [5, 'int16'],
  [6, 'int32'],
  [7, 'int64'],
  [8, 'string'],
  [9, 'bool'],
  [10, 'float16'],
  [11, 'float64'],
  [12, 'uint32'],
  [13, 'uint64'],
  [16, 'bfloat16'],
]);
const BY_TYPE: ReadonlyMap<DataType, number> = new Map([...BY_CODE].map(([code, dtype]) => [dtype, code]));

/** The element type with ONNX's number, where the IR has it. */
export function elementType(code: number): DataType | undefined {
  return BY_CODE.get(code);
}

/** ONNX's number of an element type: what Cast's `to` holds. */
export function elementCode(dtype: DataType): number {
  const code = BY_TYPE.get(dtype);
  if (code === undefined) throw new InvariantError(`element type ${dtype} has no number`);
  return code;
}
