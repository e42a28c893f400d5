import { attribute, intAttribute } from '../../ir/graph.js';
import { sizeOf } from '../../ir/tensor.js';
import type { GradientContext, GradientRule, RuleTable } from '../context.js';
import { keptShape, sortedAxes, type Operand } from '../../formula/index.js';

/** The axes of a reduction; none where the node is a no-op (no axes and noop_with_empty_axes). */
function axesOf(g: GradientContext): number[] {
  const axes = g.numbersOf(1);
  const empty = axes === undefined || axes.length === 0;
  if (empty && intAttribute(g.node, 'noop_with_empty_axes', 0) === 1) return [];
  return sortedAxes(axes, g.rankOf(g.x));
}

/** The output, or its gradient, with the reduced axes back as axes of length 1. */
function kept(g: GradientContext, value: string): string {
  return g.reshape(value, keptShape(g.shapeOf(g.x), axesOf(g)));
}

/** dx = kept(dy) * slope, expanded to the input. */
function reduction(slope: (g: GradientContext) => Operand): GradientRule {
  return (g) => [g.expandTo(g.mul(kept(g, g.dy), slope(g)), g.shapeOf(g.x)), undefined];
}

function count(g: GradientContext): number {
  const shape = g.shapeOf(g.x);
  return sizeOf(axesOf(g).map((axis) => shape[axis]!));
}

/** Elements that tie for the extremum share the gradient evenly, as in torch.amax. */
function extremum(g: GradientContext): (string | undefined)[] {
  const { dtype } = g.typeOf(g.x);
  const takes = g.cast(g.equal(g.x, kept(g, g.y)), dtype);
  return [g.mul(takes, g.div(kept(g, g.dy), g.sum(takes, axesOf(g)))), undefined];
}

/** The product of the other elements, also where some are zero: dx = dy times that. */
function product(g: GradientContext): (string | undefined)[] {
  const { dtype } = g.typeOf(g.x);
  const isZero = g.equal(g.x, 0);
  const factors = g.where(isZero, 1, g.x);
  const zero = g.cast(isZero, dtype);
  const otherZeros = g.sub(g.sum(zero, axesOf(g)), zero);
  const others = g.div(g.reduce('ReduceProd', factors, axesOf(g)), factors);
  return [g.mul(kept(g, g.dy), g.where(g.greater(otherZeros, 0.5), 0, others)), undefined];
}

/** The adjoint of a running sum is the running sum from the other end. */
function cumulativeSum(g: GradientContext): (string | undefined)[] {
  const reverse = intAttribute(g.node, 'reverse', 0) === 1 ? 0 : 1;
  const attributes = { ...g.node.attributes, reverse: attribute.int(reverse) };
  return [g.one('CumSum', [g.dy, g.input(1)], attributes), undefined];
}

/** dx = dy x / |x|, and 0 where the norm is 0 (PyTorch's choice of subgradient). */
function norm(g: GradientContext): (string | undefined)[] {
  const length = kept(g, g.y);
  const zero = g.equal(length, 0);
  const scale = g.where(zero, 0, g.div(kept(g, g.dy), g.where(zero, 1, length)));
  return [g.mul(g.x, scale), undefined];
}

export const reductionRules: RuleTable = {
  ReduceSum: reduction(() => 1),
  ReduceMean: reduction((g) => 1 / count(g)),
  ReduceL1: (g) => [g.mul(g.sign(g.x), kept(g, g.dy)), undefined],
  ReduceL2: norm,
  ReduceSumSquare: (g) => [g.mul(g.x, g.mul(kept(g, g.dy), 2)), undefined],
  ReduceLogSumExp: (g) => [g.mul(g.exp(g.sub(g.x, kept(g, g.y))), kept(g, g.dy)), undefined],
  ReduceProd: product,
  ReduceMax: extremum,
  ReduceMin: extremum,
  CumSum: cumulativeSum,
};
