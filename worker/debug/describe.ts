import { statisticsOf, type DataType, type NamedValue, type Statistics } from '../../graph/index.js';

/** Elements that are shown of a value. */
const FIRST = 8;

/** A number as JSON can carry it. */
export type JsonNumber = number | 'NaN' | 'Infinity' | '-Infinity';

/** A value in numbers: what is printed of it. */
export interface Described extends Statistics {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: readonly number[];
  /** The first elements, row-major. */
  readonly first: readonly JsonNumber[];
}

export function describeValue({ name, value }: NamedValue): Described {
  const { dtype, shape, data } = value;
  return { name, dtype, shape, ...statisticsOf(value), first: [...data.subarray(0, FIRST)].map(jsonNumber) };
}

export function jsonNumber(x: number): JsonNumber {
  return Number.isFinite(x) ? x : (String(x) as JsonNumber);
}
