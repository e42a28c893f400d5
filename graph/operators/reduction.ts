import { intAttribute, type Node } from '../ir/graph.js';
import type { TensorType } from '../ir/tensor.js';
import type { OperatorDefinition, Reference } from './definition.js';
import { keeperOf } from './integers.js';
import { axesIn, define, knownInts, operand, valueOf } from './operands.js';
import { lanesOf } from './walk.js';

/** A fold over the elements of a lane, in order. */
interface Fold {
  readonly start: number;
  readonly step: (sum: number, x: number) => number;
  readonly finish?: (sum: number, count: number) => number;
}

const add = (sum: number, x: number): number => sum + x;

/** log(e^a + e^b), which overflows for no a and b. */
function logAddExp(a: number, b: number): number {
  const larger = Math.max(a, b);
  return Number.isFinite(larger) ? larger + Math.log1p(Math.exp(-Math.abs(a - b))) : larger;
}

const REDUCTIONS: Readonly<Record<string, Fold>> = {
  ReduceL1: { start: 0, step: (sum, x) => sum + Math.abs(x) },
  ReduceL2: { start: 0, step: (sum, x) => sum + x * x, finish: Math.sqrt },
  ReduceLogSum: { start: 0, step: add, finish: Math.log },
  ReduceLogSumExp: { start: -Infinity, step: logAddExp },
  ReduceMax: { start: -Infinity, step: Math.max },
  ReduceMean: { start: 0, step: add, finish: (sum, count) => sum / count },
  ReduceMin: { start: Infinity, step: Math.min },
  ReduceProd: { start: 1, step: (product, x) => product * x },
  ReduceSum: { start: 0, step: add },
  ReduceSumSquare: { start: 0, step: (sum, x) => sum + x * x },
};

/** The axes of a reduction: its second operand; when that is empty or omitted, all, or none where `noop_with_empty_axes`
 * (each element is then reduced alone: |x| for ReduceL1). */
function reducedAxes(node: Node, rank: number, given: readonly number[] | undefined): number[] {
  if (given && given.length > 0) return axesIn(node, given, rank);
  if (intAttribute(node, 'noop_with_empty_axes', 0) === 1) return [];
  return Array.from({ length: rank }, (_, axis) => axis);
}

/** The shape left when `axes` are reduced: length 1 where they are kept. */
function reducedShape(shape: readonly number[], axes: readonly number[], keep: boolean): number[] {
  const gone = new Set(axes);
  return keep
    ? shape.map((dim, axis) => (gone.has(axis) ? 1 : dim))
    : shape.filter((_, axis) => !gone.has(axis));
}

function inferReduction(
  node: Node,
  inputs: readonly (TensorType | undefined)[],
  constants: readonly (Reference | undefined)[],
): TensorType[] {
  const { dtype, shape } = operand(node, inputs, 0, 'number');
  const axes = reducedAxes(node, shape.length, knownInts(node, inputs, constants, 1, 'axes'));
  return [{ dtype, shape: reducedShape(shape, axes, intAttribute(node, 'keepdims', 1) === 1) }];
}

export const reductionOperators: readonly OperatorDefinition[] = Object.entries(REDUCTIONS).map(
  ([operator, { start, step, finish }]) =>
    define(operator, inferReduction, (node, inputs, [type]) => {
      const { shape, data } = operand(node, inputs, 0);
      const axes = reducedAxes(node, shape.length, inputs[1] && Array.from(inputs[1].data));
      const { starts, steps } = lanesOf(shape, axes);
      const keep = keeperOf(type!.dtype);
      const result = valueOf(type!);
      starts.forEach((from, lane) => {
        let sum = start;
        for (const by of steps) sum = step(sum, data[from + by]!);
        result.data[lane] = keep(finish ? finish(sum, steps.length) : sum);
      });
      return [result];
    }),
);
