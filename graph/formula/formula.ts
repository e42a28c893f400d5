import { InvariantError } from '../../base/index.js';
import type { GraphBuilder } from '../ir/builder.js';
import { elementCode } from '../ir/element.js';
import { attribute, type Attributes } from '../ir/graph.js';
import {
  int64s,
  isFloat,
  normalizeAxis,
  sameShape,
  sizeOf,
  type DataType,
  type TensorType,
} from '../ir/tensor.js';
import { fromReference } from '../reference/value.js';

/** A value of the graph, or a number that stands for a scalar constant of the other operand's element type. */
export type Operand = string | number;

/**
 * Writes arithmetic into a graph: each method adds the nodes for one expression and returns the name of its value.
 *
 * Guarantees: only standard ONNX operators; shapes broadcast as ONNX says; work that changes nothing (adding 0,
 * multiplying by 1, reshaping to the same shape, summing over no axis) is not written down.
 */
export class Formula {
  constructor(readonly builder: GraphBuilder) {}

  typeOf(value: string): TensorType {
    return this.builder.typeOf(value);
  }

  shapeOf(value: string): readonly number[] {
    return this.builder.typeOf(value).shape;
  }

  rankOf(value: string): number {
    return this.shapeOf(value).length;
  }

  // Constants

  /** A tensor of one repeated number. */
  filled(shape: readonly number[], value: number, dtype: DataType): string {
    const data = new Float64Array(sizeOf(shape)).fill(value);
    return this.builder.constant(fromReference({ dtype, shape, data }));
  }

  scalar(value: number, dtype: DataType): string {
    return this.filled([], value, dtype);
  }

  /** A float or integer constant from plain numbers. */
  constant(dtype: DataType, shape: readonly number[], values: ArrayLike<number>): string {
    return this.builder.constant(fromReference({ dtype, shape, data: Float64Array.from(values) }));
  }

  int64s(values: readonly number[]): string {
    return this.builder.constant(int64s(values));
  }

  /** Zeros of a type, made at run time so that a large one takes no room in the model. */
  zeros(type: TensorType): string {
    if (sizeOf(type.shape) <= 64) return this.filled(type.shape, 0, type.dtype);
    return this.expandTo(this.scalar(0, type.dtype), type.shape);
  }

  /** The number that a value is known to be, where it is a constant scalar (or a constant of one element). */
  numberOf(value: string): number | undefined {
    const tensor = this.builder.constantOf(value);
    if (tensor?.data.length !== 1 || tensor.dtype === 'float16' || tensor.dtype === 'bfloat16')
      return undefined;
    return Number(tensor.data[0]);
  }

  // Elementwise

  add(a: Operand, b: Operand): string {
    if (b === 0 && typeof a === 'string') return a;
    if (a === 0 && typeof b === 'string') return b;
    return this.binary('Add', a, b);
  }

  sub(a: Operand, b: Operand): string {
    if (b === 0 && typeof a === 'string') return a;
    return this.binary('Sub', a, b);
  }

  mul(a: Operand, b: Operand): string {
    if (b === 1 && typeof a === 'string') return a;
    if (a === 1 && typeof b === 'string') return b;
    return this.binary('Mul', a, b);
  }

  div(a: Operand, b: Operand): string {
    if (b === 1 && typeof a === 'string') return a;
    return this.binary('Div', a, b);
  }

  pow(a: Operand, b: Operand): string {
    if (b === 1 && typeof a === 'string') return a;
    if (b === 2 && typeof a === 'string') return this.mul(a, a);
    return this.binary('Pow', a, b);
  }

  max(a: Operand, b: Operand): string {
    return this.binary('Max', a, b);
  }

  min(a: Operand, b: Operand): string {
    return this.binary('Min', a, b);
  }

  equal(a: Operand, b: Operand): string {
    return this.binary('Equal', a, b);
  }

  less(a: Operand, b: Operand): string {
    return this.binary('Less', a, b);
  }

  greater(a: Operand, b: Operand): string {
    return this.binary('Greater', a, b);
  }

  and(a: string, b: string): string {
    return this.one('And', [a, b]);
  }

  not(a: string): string {
    return this.one('Not', [a]);
  }

  where(condition: string, a: Operand, b: Operand): string {
    const [left, right] = this.pair(a, b);
    return this.one('Where', [condition, left, right]);
  }

  /** A unary operator without attributes. */
  unary(operator: string, x: string): string {
    return this.one(operator, [x]);
  }

  neg(x: string): string {
    return this.one('Neg', [x]);
  }

  exp(x: string): string {
    return this.one('Exp', [x]);
  }

  log(x: string): string {
    return this.one('Log', [x]);
  }

  sqrt(x: string): string {
    return this.one('Sqrt', [x]);
  }

  abs(x: string): string {
    return this.one('Abs', [x]);
  }

  sign(x: string): string {
    return this.one('Sign', [x]);
  }

  sigmoid(x: string): string {
    return this.one('Sigmoid', [x]);
  }

  tanh(x: string): string {
    return this.one('Tanh', [x]);
  }

  cast(x: string, dtype: DataType): string {
    return this.typeOf(x).dtype === dtype
      ? x
      : this.one('Cast', [x], { to: attribute.int(elementCode(dtype)) });
  }

  /** Values between two bounds; an absent bound does not bound. */
  clip(x: string, low: number | undefined, high: number | undefined): string {
    const { dtype } = this.typeOf(x);
    const bound = (value: number | undefined) => (value === undefined ? '' : this.scalar(value, dtype));
    return this.one('Clip', [x, bound(low), bound(high)]);
  }

  // Reductions

  sum(x: string, axes: readonly number[], keepDims = true): string {
    return this.reduce('ReduceSum', x, axes, keepDims);
  }

  mean(x: string, axes: readonly number[], keepDims = true): string {
    return this.reduce('ReduceMean', x, axes, keepDims);
  }

  reduce(operator: string, x: string, axes: readonly number[], keepDims = true): string {
    if (axes.length === 0) return x;
    return this.one(operator, [x, this.int64s(axes)], { keepdims: attribute.int(keepDims ? 1 : 0) });
  }

  /** Sums `x` over the axes along which `shape` was broadcast to it: the adjoint of broadcasting. */
  reduceTo(x: string, shape: readonly number[]): string {
    const from = this.shapeOf(x);
    if (sameShape(from, shape)) return x;
    const lead = from.length - shape.length;
    const axes: number[] = [];
    from.forEach((dim, axis) => {
      if (dim !== 1 && (axis < lead || shape[axis - lead] === 1)) axes.push(axis);
    });
    return this.reshape(this.sum(x, axes, false), shape);
  }

  // Layout

  reshape(x: string, shape: readonly number[]): string {
    if (sameShape(this.shapeOf(x), shape)) return x;
    return this.one('Reshape', [x, this.int64s(shape)]);
  }

  transpose(x: string, permutation: readonly number[]): string {
    if (permutation.every((axis, i) => axis === i)) return x;
    return this.one('Transpose', [x], { perm: attribute.ints(permutation) });
  }

  /** Exchanges the last two axes. */
  transposeLast(x: string): string {
    const rank = this.rankOf(x);
    const permutation = Array.from({ length: rank }, (_, i) => i);
    permutation[rank - 2] = rank - 1;
    permutation[rank - 1] = rank - 2;
    return this.transpose(x, permutation);
  }

  expandTo(x: string, shape: readonly number[]): string {
    if (sameShape(this.shapeOf(x), shape)) return x;
    return this.one('Expand', [x, this.int64s(shape)]);
  }

  concat(parts: readonly string[], axis: number): string {
    if (parts.length === 1) return parts[0]!;
    return this.one('Concat', parts, { axis: attribute.int(axis) });
  }

  split(x: string, sizes: readonly number[], axis: number): string[] {
    if (sizes.length === 1) return [x];
    const attributes = { axis: attribute.int(axis) };
    return this.builder.add('Split', [x, this.int64s(sizes)], attributes, { outputs: sizes.length });
  }

  /**
   * A strided part. Ranges are half-open; with a negative step, `end` may be below 0 to reach the first element.
   * @param parts one entry per axis that is cut; axes count from the front
   */
  slice(x: string, parts: readonly { axis: number; start: number; end: number; step?: number }[]): string {
    const shape = this.shapeOf(x);
    const cuts = parts.filter(
      ({ axis, start, end, step = 1 }) => step !== 1 || start !== 0 || end < (shape[axis] ?? 0),
    );
    if (cuts.length === 0) return x;
    return this.one('Slice', [
      x,
      this.int64s(cuts.map(({ start }) => start)),
      this.int64s(cuts.map(({ axis, end }) => (end < 0 ? -1 - (shape[axis] ?? 0) : end))),
      this.int64s(cuts.map(({ axis }) => axis)),
      this.int64s(cuts.map(({ step = 1 }) => step)),
    ]);
  }

  reverse(x: string, axes: readonly number[]): string {
    const shape = this.shapeOf(x);
    const cuts = axes.filter((axis) => shape[axis]! > 1);
    return this.slice(
      x,
      cuts.map((axis) => ({ axis, start: shape[axis]! - 1, end: -1, step: -1 })),
    );
  }

  /** Pads with a constant; a negative amount crops. */
  pad(x: string, before: readonly number[], after: readonly number[], value = 0): string {
    const shape = this.shapeOf(x);
    const crop = shape.map((dim, axis) => ({
      axis,
      start: Math.max(0, -before[axis]!),
      end: dim + Math.min(0, after[axis]!),
    }));
    const cropped = this.slice(x, crop);
    const pads = [...before, ...after].map((amount) => Math.max(0, amount));
    if (pads.every((amount) => amount === 0)) return cropped;
    const filler = value === 0 ? [] : [this.scalar(value, this.typeOf(x).dtype)];
    return this.one('Pad', [cropped, this.int64s(pads), ...filler]);
  }

  // Products

  matmul(a: string, b: string): string {
    return this.one('MatMul', [a, b]);
  }

  /** alpha * op(a) op(b) of matrices. */
  gemm(a: string, b: string, { transA = false, transB = false, alpha = 1 } = {}): string {
    return this.one('Gemm', [a, b], {
      ...(transA ? { transA: attribute.int(1) } : {}),
      ...(transB ? { transB: attribute.int(1) } : {}),
      ...(alpha === 1 ? {} : { alpha: attribute.float(alpha) }),
    });
  }

  one(operator: string, inputs: readonly string[], attributes: Attributes = {}): string {
    return this.builder.one(operator, inputs, attributes);
  }

  private binary(operator: string, a: Operand, b: Operand): string {
    return this.one(operator, this.pair(a, b));
  }

  private pair(a: Operand, b: Operand): [string, string] {
    if (typeof a === 'string') return [a, typeof b === 'string' ? b : this.scalar(b, this.typeOf(a).dtype)];
    if (typeof b === 'string') return [this.scalar(a, this.typeOf(b).dtype), b];
    throw new InvariantError('an expression of two numbers has no element type');
  }
}

/** Axes in ascending order, counted from the front; every axis where none is given. */
export function sortedAxes(axes: readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined || axes.length === 0) return Array.from({ length: rank }, (_, axis) => axis);
  return axes.map((axis) => normalizeAxis(axis, rank)).sort((a, b) => a - b);
}

/** `shape` with the given axes of length 1. */
export function keptShape(shape: readonly number[], axes: readonly number[]): number[] {
  return shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
}

export function isDifferentiable(dtype: DataType): boolean {
  return isFloat(dtype);
}
