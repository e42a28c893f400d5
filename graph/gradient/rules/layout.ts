import { intAttribute, intsAttribute } from '../../ir/graph.js';
import { normalizeAxis, sizeOf } from '../../ir/tensor.js';
import { splitLengths } from '../../operators/movement.js';
import type { GradientContext, GradientRule, RuleTable } from '../context.js';

/** The input has the output's elements in the same order. */
const sameElements: GradientRule = (g) => [g.reshape(g.dy, g.shapeOf(g.x)), undefined];

function transpose(g: GradientContext): string[] {
  const rank = g.rankOf(g.x);
  const permutation = intsAttribute(g.node, 'perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
  const inverse = new Array<number>(rank);
  permutation.forEach((from, to) => {
    inverse[normalizeAxis(from, rank)] = to;
  });
  return [g.transpose(g.dy, inverse)];
}

/** Each repeat is an axis of its own, to sum over. */
function tile(g: GradientContext): (string | undefined)[] {
  const shape = g.shapeOf(g.x);
  const repeats = g.numbersOf(1) ?? [];
  const apart = shape.flatMap((dim, axis) => [repeats[axis] ?? 1, dim]);
  const repeated = shape.map((_, axis) => 2 * axis).filter((axis) => apart[axis] !== 1);
  return [g.reshape(g.sum(g.reshape(g.dy, apart), repeated, false), shape), undefined];
}

function concat(g: GradientContext): (string | undefined)[] {
  const { inputs } = g.node;
  const axis = normalizeAxis(intAttribute(g.node, 'axis', 0), g.rankOf(g.y));
  const sizes = inputs.map((input) => g.shapeOf(input)[axis]!);
  const needed = inputs.map((_, i) => g.needs(i));
  if (needed.every((need) => need)) return g.split(g.dy, sizes, axis);
  let start = 0;
  return sizes.map((size, i) => {
    const part = { axis, start, end: start + size };
    start += size;
    return needed[i] ? g.slice(g.dy, [part]) : undefined;
  });
}

/** A part of the outputs may have no gradient, or no name: it is zero there. */
function split(g: GradientContext): (string | undefined)[] {
  const { dtype, shape } = g.typeOf(g.x);
  const axis = normalizeAxis(intAttribute(g.node, 'axis', 0), shape.length);
  const lengths = splitLengths(g.node, shape[axis]!, g.numbersOf(1));
  const parts = lengths.map(
    (length, i) => g.gradients[i] ?? g.zeros({ dtype, shape: shape.with(axis, length) }),
  );
  return [g.concat(parts, axis), undefined];
}

/** Puts each element of the gradient back in its place, zeros between and around. */
function slice(g: GradientContext): (string | undefined)[] {
  const shape = g.shapeOf(g.x);
  if (sizeOf(g.shapeOf(g.y)) === 0) return [g.zeros(g.typeOf(g.x))];
  const starts = g.numbersOf(1) ?? [];
  const axes = g.numbersOf(3) ?? starts.map((_, i) => i);
  const steps = g.numbersOf(4) ?? starts.map(() => 1);
  const before = shape.map(() => 0);
  const after = shape.map(() => 0);
  let dy = g.dy;
  axes.forEach((given, i) => {
    const axis = normalizeAxis(given, shape.length);
    const step = Math.abs(steps[i]!);
    const dim = shape[axis]!;
    const count = g.shapeOf(g.y)[axis]!;
    let first = firstIndex(starts[i]!, dim, steps[i]!);
    if (steps[i]! < 0) {
      dy = g.reverse(dy, [axis]);
      first -= (count - 1) * step;
    }
    if (step > 1) dy = spread(g, dy, axis, step);
    before[axis] = first;
    after[axis] = dim - first - g.shapeOf(dy)[axis]!;
  });
  return [g.pad(dy, before, after), undefined, undefined, undefined, undefined];
}

/** Slice's start as an index within the axis, after the clamping of the ONNX specification. */
function firstIndex(start: number, dim: number, step: number): number {
  const index = start < 0 ? start + dim : start;
  return Math.min(Math.max(index, 0), step < 0 ? dim - 1 : dim);
}

/** `step - 1` zeros after each element along an axis. */
function spread(g: GradientContext, x: string, axis: number, step: number): string {
  const shape = g.shapeOf(x);
  const apart = [...shape.slice(0, axis + 1), 1, ...shape.slice(axis + 1)];
  const none = apart.map(() => 0);
  const after = apart.map((_, i) => (i === axis + 1 ? step - 1 : 0));
  const joined = shape.map((dim, i) => (i === axis ? dim * step : dim));
  return g.reshape(g.pad(g.reshape(x, apart), none, after), joined);
}

/** The same triangle of the gradient. */
function trilu(g: GradientContext): (string | undefined)[] {
  const inputs = g.hasInput(1) ? [g.dy, g.input(1)] : [g.dy];
  return [g.one('Trilu', inputs, g.node.attributes), undefined];
}

function expand(g: GradientContext): (string | undefined)[] {
  return [g.reduceTo(g.dy, g.shapeOf(g.x)), undefined];
}

export const layoutRules: RuleTable = {
  Reshape: sameElements,
  Flatten: sameElements,
  Squeeze: sameElements,
  Unsqueeze: sameElements,
  Transpose: transpose,
  Expand: expand,
  Tile: tile,
  Concat: concat,
  Split: split,
  Slice: slice,
  Trilu: trilu,
};
