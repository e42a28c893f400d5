import { ShapeError } from '../errors.js';
import type { Node } from '../ir/graph.js';
import { sizeOf, stridesOf } from '../ir/tensor.js';

/**
 * For every element of `shape` in row-major order, where it lies in a buffer with the given strides:
 * start + sum of coordinate[axis] * strides[axis].
 *
 * With this one walk a transposition is `out[i] = in[offsets[i]]`, a broadcast is a stride of 0, a slice a
 * start and longer strides, and a reduction the sum over inner offsets at each outer one.
 */
export function offsetsOf(shape: readonly number[], strides: readonly number[], start = 0): Int32Array {
  const offsets = new Int32Array(sizeOf(shape));
  if (offsets.length === 0) return offsets;
  offsets[0] = start;
  // From the innermost axis outwards: the first `filled` offsets are one block, repeated `dim` times at a stride.
  let filled = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const stride = strides[axis]!;
    for (let k = 1; k < shape[axis]!; k++) {
      const shift = k * stride;
      for (let i = 0; i < filled; i++) offsets[k * filled + i] = offsets[i]! + shift;
    }
    filled *= shape[axis]!;
  }
  return offsets;
}

/** The strides with which a tensor of `shape` is read as if it had `target`, its broadcast: 0 along repeats. */
export function broadcastStrides(shape: readonly number[], target: readonly number[]): number[] {
  const strides = stridesOf(shape);
  const missing = target.length - shape.length;
  return target.map((_, axis) =>
    axis < missing || shape[axis - missing] === 1 ? 0 : strides[axis - missing]!,
  );
}

/**
 * The common shape of operands under NumPy's rule (multidirectional broadcasting).
 * @throws ShapeError where two lengths differ and neither is 1
 */
export function broadcastShapes(node: Node, shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  const common = new Array<number>(rank).fill(1);
  for (const shape of shapes) {
    shape.forEach((dim, i) => {
      const axis = i + rank - shape.length;
      if (dim === 1 || dim === common[axis]) return;
      if (common[axis] !== 1) {
        const listed = shapes.map((each) => `[${each.join(', ')}]`).join(' and ');
        throw new ShapeError(node, `the shapes ${listed} do not broadcast to one`);
      }
      common[axis] = dim;
    });
  }
  return common;
}

/** A tensor seen as lanes: lane `i` starts at `starts[i]`, and its elements lie at `starts[i] + steps[j]`. */
export interface Lanes {
  readonly starts: Int32Array;
  readonly steps: Int32Array;
}

/** The lanes along `axes`; starts in row-major order of the other axes, steps in row-major order of `axes`. */
export function lanesOf(shape: readonly number[], axes: readonly number[]): Lanes {
  const strides = stridesOf(shape);
  const along = new Set(axes);
  const pick = (wanted: boolean): Int32Array => {
    const chosen = shape.map((_, axis) => axis).filter((axis) => along.has(axis) === wanted);
    return offsetsOf(
      chosen.map((axis) => shape[axis]!),
      chosen.map((axis) => strides[axis]!),
    );
  };
  return { starts: pick(false), steps: pick(true) };
}
