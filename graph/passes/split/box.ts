import { sizeOf, stridesOf } from '../../ir/tensor.js';

/** A part of a value: on each axis the elements [start, start + length). */
export interface Box {
  readonly start: readonly number[];
  readonly shape: readonly number[];
}

/** Some of an axis: [start, start + length). */
export interface Interval {
  readonly start: number;
  readonly length: number;
}

export function wholeBox(shape: readonly number[]): Box {
  return { start: shape.map(() => 0), shape };
}

export function sameBox(a: Box, b: Box): boolean {
  return a.shape.every((length, axis) => length === b.shape[axis] && a.start[axis] === b.start[axis]);
}

/** What two boxes share; undefined where nothing. */
export function overlap(a: Box, b: Box): Box | undefined {
  const start = a.start.map((from, axis) => Math.max(from, b.start[axis]!));
  const shape = start.map(
    (from, axis) => Math.min(a.start[axis]! + a.shape[axis]!, b.start[axis]! + b.shape[axis]!) - from,
  );
  return shape.some((length) => length <= 0) ? undefined : { start, shape };
}

/** The box with another range on some axes. */
export function withAxis(box: Box, axis: number, { start, length }: Interval): Box {
  return { start: box.start.with(axis, start), shape: box.shape.with(axis, length) };
}

/** What a box of a result reads of an operand that is broadcast to it. */
export function broadcastBox(box: Box, shape: readonly number[]): Box {
  const lead = box.shape.length - shape.length;
  return {
    start: shape.map((dim, axis) => (dim === 1 ? 0 : box.start[lead + axis]!)),
    shape: shape.map((dim, axis) => (dim === 1 ? 1 : box.shape[lead + axis]!)),
  };
}

/** Cuts [from, from + length) into runs of at most `most`, at `hints` where that is not much more runs. */
export function intervals(
  from: number,
  length: number,
  most: number,
  hints: readonly number[] = [],
): readonly Interval[] {
  const cuts = [...new Set(hints)].sort((a, b) => a - b);
  const runs: Interval[] = [];
  const end = from + length;
  let next = 0;
  for (let at = from; at < end;) {
    const reach = Math.min(end, at + most);
    let stop = reach;
    if (reach < end) {
      while (next < cuts.length && cuts[next]! <= at) next++;
      // a cut in the first half would make many small runs
      for (let i = next; i < cuts.length && cuts[i]! <= reach; i++)
        if (cuts[i]! - at >= most / 2) stop = cuts[i]!;
    }
    runs.push({ start: at, length: stop - at });
    at = stop;
  }
  return runs;
}

/** How boxes are to be cut. */
export interface Cutting {
  /** Elements of a box. */
  readonly most: number;
  /** Axes that stay whole. */
  readonly keep?: readonly number[];
  /** Where cuts would cost nothing, by axis. */
  readonly hints?: ReadonlyMap<number, readonly number[]>;
}

/**
 * Cuts a box along its first axes, in row-major order; undefined where the axes that stay whole are too long.
 * Without `keep` each of the boxes is a contiguous run of a whole value's elements.
 */
export function cutBox(box: Box, { most, keep = [], hints }: Cutting): readonly Box[] | undefined {
  const lengths = [...box.shape];
  for (let axis = 0; axis < lengths.length && sizeOf(lengths) > most; axis++) {
    if (keep.includes(axis)) continue;
    const rest = sizeOf(lengths.with(axis, 1));
    lengths[axis] = rest <= most ? Math.floor(most / rest) : 1;
  }
  if (sizeOf(lengths) > most) return undefined;
  const perAxis = lengths.map((length, axis) =>
    intervals(box.start[axis]!, box.shape[axis]!, Math.max(1, length), hints?.get(axis)),
  );
  let boxes: { start: number[]; shape: number[] }[] = [{ start: [], shape: [] }];
  for (const runs of perAxis) {
    boxes = boxes.flatMap(({ start, shape }) =>
      runs.map((run) => ({ start: [...start, run.start], shape: [...shape, run.length] })),
    );
  }
  return boxes;
}

/** Where a box's elements begin in the whole value, if they lie side by side there. */
export function offsetOf({ start, shape }: Box, whole: readonly number[]): number | undefined {
  const first = shape.findIndex((length) => length !== 1);
  if (first >= 0 && shape.some((length, axis) => axis > first && length !== whole[axis])) return undefined;
  return stridesOf(whole).reduce((offset, stride, axis) => offset + stride * start[axis]!, 0);
}

/** The box of a value whose elements are [offset, offset + size), if there is one. */
export function boxAt(offset: number, size: number, whole: readonly number[]): Box | undefined {
  const strides = stridesOf(whole);
  // the axis along which the run extends: the first whose rows are shorter than it
  let axis = 0;
  while (axis < whole.length - 1 && (whole[axis] === 1 || strides[axis]! > size)) axis++;
  if (whole.length === 0) return offset === 0 && size === 1 ? { start: [], shape: [] } : undefined;
  const stride = strides[axis]!;
  if (offset % stride !== 0 || size % stride !== 0) return undefined;
  const start = whole.map((dim, i) => (i <= axis ? Math.floor(offset / strides[i]!) % dim : 0));
  const length = size / stride;
  if (start[axis]! + length > whole[axis]!) return undefined;
  return { start, shape: whole.map((dim, i) => (i < axis ? 1 : i === axis ? length : dim)) };
}
