import { customOf } from '../custom/node.js';
import type { Node } from '../ir/graph.js';
import type { TensorType } from '../ir/tensor.js';
import type { Reference } from '../operators/index.js';

/** A folded value may always have this many elements; */
const SMALL = 65_536;
/** more, up to this, when it is no larger than what it is made from (a mask that is sliced or cast). */
const LARGEST = 2 ** 20;
/** Products of larger constants are left to the engine: the reference evaluator is slow. */
const LARGEST_PRODUCT_OPERAND = 16_384;

const PRODUCTS = new Set(['MatMul', 'Gemm']);
/** Never computed ahead: random, or with a cost that attributes drive up whatever the sizes. */
const NEVER = new Set([
  'Dropout',
  'Conv',
  'ConvTranspose',
  'MaxPool',
  'AveragePool',
  'LpPool',
  'Einsum',
  'RNN',
  'GRU',
  'LSTM',
]);

/** Folded values of more elements than this count, */
const UNCOUNTED = 64;
/** and all of them together may have this many: a model of many nodes must not take memory before it runs. */
const LARGEST_TOTAL = 2 ** 23;

/** How much may still be computed ahead in a graph. */
export class FoldAllowance {
  private left = LARGEST_TOTAL;

  /** Whether values of these types may be computed ahead, which then counts. */
  take(types: readonly TensorType[]): boolean {
    const elements = types.reduce((sum, { shape }) => sum + extentOf(shape), 0);
    if (elements <= UNCOUNTED) return true;
    if (elements > this.left) return false;
    this.left -= elements;
    return true;
  }
}

/** Whether a node whose inputs are all known is computed now, rather than in every step. */
export function isWorthFolding(
  node: Node,
  inputs: readonly (Reference | undefined)[],
  outputs: readonly TensorType[],
): boolean {
  // a user's kernel takes as long as its author pleases
  if (NEVER.has(node.operator) || customOf(node)) return false;
  const given = inputs.map((input) => (input ? extentOf(input.shape) : 0));
  if (PRODUCTS.has(node.operator) && given.some((size) => size > LARGEST_PRODUCT_OPERAND)) return false;
  const made = outputs.reduce((sum, type) => sum + extentOf(type.shape), 0);
  const total = given.reduce((sum, size) => sum + size, 0);
  return (made <= SMALL || (made <= total && made <= LARGEST)) && inputs.every(isExact);
}

/** The elements of a shape, with an empty axis counted as one: a bound for the loops over the others. */
function extentOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * Math.max(dim, 1), 1);
}

/** Whether float64 holds every element of an integer value as it is; the ends of int64 come back as they were. */
function isExact(value: Reference | undefined): boolean {
  if (value?.dtype !== 'int64' && value?.dtype !== 'uint64') return true;
  return value.data.every((x) => Number.isSafeInteger(x) || Math.abs(x) >= 2 ** 63);
}
