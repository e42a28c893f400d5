import { joinedAxes } from '../body.js';
import { added, coordinates, integers, times } from './integers.js';
import type { Backend } from '../kernel.js';

/** One side of a product: where its element (row, column) of a batch lies in a flat value. */
export interface Factor {
  readonly value: string;
  readonly row: number;
  readonly column: number;
  /** A stride for each axis of the product's batch: 0 where it is repeated. */
  readonly batch: readonly number[];
}

/** y[batch, i, j] = alpha sum_k a[batch, i, k] b[batch, k, j] + addend[i, j] */
export interface Product {
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly batch: readonly number[];
  /** m by k. */
  readonly a: Factor;
  /** k by n. */
  readonly b: Factor;
  readonly alpha: number;
  readonly addend?: Addend;
  readonly output: string;
}

/** What is added to each matrix of the result. */
export interface Addend {
  readonly value: string;
  readonly beta: number;
  readonly row: number;
  readonly column: number;
}

export function transposed(factor: Factor): Factor {
  return { ...factor, row: factor.column, column: factor.row };
}

/** Statements that compute where a factor's matrix starts in batch `index`, and the expression for it. */
export function startOf(
  backend: Backend,
  prefix: string,
  index: string,
  batch: readonly number[],
  strides: readonly number[],
): { readonly before: string; readonly start: string } {
  const { shape, strides: joined } = joinedAxes(batch, strides);
  if (shape.length === 0 || joined.every((stride) => stride === 0)) return { before: '', start: '0' };
  if (shape.length === 1) return { before: '', start: times(index, joined[0]!) };
  const names = shape.map((_, axis) => `${prefix}${axis}`);
  return {
    before: `${integers(backend, ...names)} ${coordinates(names, index, shape)}`,
    start: added(...names.map((name, axis) => times(name, joined[axis]!))),
  };
}
