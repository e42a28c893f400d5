import { ShapeError } from '../errors.js';
import { intAttribute, intsAttribute, stringAttribute, type Node } from '../ir/graph.js';
import { offsetsOf } from './walk.js';
import { stridesOf } from '../ir/tensor.js';

/** A window that slides over the spatial axes of [N, C, ...]: one entry an axis in every list. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Padding before and after each axis. */
  readonly begins: readonly number[];
  readonly ends: readonly number[];
}

/** What the node says of its window, with ONNX's defaults; pads as they stand, before `auto_pad`. */
export function declaredWindow(node: Node, kernel: readonly number[]): Window {
  const rank = kernel.length;
  const list = (name: string, length: number, fallback: number, least: number): readonly number[] => {
    const values = intsAttribute(node, name) ?? new Array<number>(length).fill(fallback);
    if (values.length !== length || values.some((value) => !Number.isSafeInteger(value) || value < least)) {
      throw new ShapeError(
        node,
        `${name} is [${values.join(', ')}]; ${length} integers of at least ${least} would be accepted`,
      );
    }
    return values;
  };
  const pads = list('pads', 2 * rank, 0, 0);
  return {
    kernel,
    strides: list('strides', rank, 1, 1),
    dilations: list('dilations', rank, 1, 1),
    begins: pads.slice(0, rank),
    ends: pads.slice(rank),
  };
}

/** `kernel_shape` where it is given; else the weight's. They must agree. */
export function kernelShape(node: Node, rank: number, weight?: readonly number[]): readonly number[] {
  const given = intsAttribute(node, 'kernel_shape');
  const kernel = given ?? weight;
  if (!kernel) throw new ShapeError(node, 'has no kernel_shape');
  const agrees = !weight || kernel.every((length, axis) => length === weight[axis]);
  if (kernel.length !== rank || !agrees || kernel.some((length) => length < 1)) {
    const expected = weight ? `that of its weight, [${weight.join(', ')}]` : `${rank} positive integers`;
    throw new ShapeError(node, `kernel_shape is [${kernel.join(', ')}]; ${expected} would be accepted`);
  }
  return kernel;
}

/** The input elements that one window spans along an axis. */
export function spanOf(window: Window, axis: number): number {
  return (window.kernel[axis]! - 1) * window.dilations[axis]! + 1;
}

export type AutoPad = 'NOTSET' | 'SAME_UPPER' | 'SAME_LOWER' | 'VALID';

export function autoPadOf(node: Node): AutoPad {
  const mode = stringAttribute(node, 'auto_pad', 'NOTSET');
  if (mode === 'NOTSET' || mode === 'SAME_UPPER' || mode === 'SAME_LOWER' || mode === 'VALID') return mode;
  throw new ShapeError(
    node,
    `auto_pad is "${mode}"; NOTSET, SAME_UPPER, SAME_LOWER or VALID would be accepted`,
  );
}

/** Shares a total padding between begin and end; the odd one goes to the end for SAME_UPPER, else to the begin. */
export function sharePadding(total: number, mode: AutoPad): readonly [begin: number, end: number] {
  const less = Math.floor(total / 2);
  return mode === 'SAME_UPPER' ? [less, total - less] : [total - less, less];
}

/** A window placed over an input: the padding that results and how many positions it takes on each axis. */
export interface Placed {
  readonly window: Window;
  readonly output: readonly number[];
}

/**
 * Places a window by the node's pads or `auto_pad`, with `ceil_mode` where the operator has it.
 * With `ceil_mode` a last window that would start beyond the input and its left padding is dropped.
 * @param spatial the input's lengths after N and C
 * @throws ShapeError where the window is larger than the padded input
 */
export function placeWindow(node: Node, declared: Window, spatial: readonly number[]): Placed {
  const mode = autoPadOf(node);
  const ceil = intAttribute(node, 'ceil_mode', 0) === 1;
  const begins = [...declared.begins];
  const ends = [...declared.ends];
  const output = spatial.map((length, axis) => {
    const stride = declared.strides[axis]!;
    const span = spanOf(declared, axis);
    if (mode === 'SAME_UPPER' || mode === 'SAME_LOWER') {
      const positions = Math.ceil(length / stride);
      const total = Math.max(0, (positions - 1) * stride + span - length);
      [begins[axis], ends[axis]] = sharePadding(total, mode) as [number, number];
      return positions;
    }
    if (mode === 'VALID') begins[axis] = ends[axis] = 0;
    const room = length + begins[axis]! + ends[axis]! - span;
    if (room < 0) {
      throw new ShapeError(
        node,
        `its window spans ${span} elements of axis ${axis + 2}, which has ${length} and ${begins[axis]! + ends[axis]!} of padding`,
      );
    }
    const positions = (ceil ? Math.ceil(room / stride) : Math.floor(room / stride)) + 1;
    const startsOutside = (positions - 1) * stride >= length + begins[axis]!;
    return ceil && startsOutside ? positions - 1 : positions;
  });
  return { window: { ...declared, begins, ends }, output };
}

/** In a table of taps: the tap lies in the padding, or beyond it (possible with `ceil_mode` only). */
export const PADDING = -1;
export const OUTSIDE = -2;

/**
 * Which element of the `large` side each tap of each window touches: entry `position * taps + tap`, row-major
 * in both, is an offset in the spatial block of `large`, or PADDING or OUTSIDE.
 */
export function tapTable({ window, output }: Placed, large: readonly number[]): Int32Array {
  const strides = stridesOf(large);
  const windows = coordinates(output);
  const taps = coordinates(window.kernel);
  const table = new Int32Array(windows.length * taps.length);
  windows.forEach((position, p) => {
    taps.forEach((tap, k) => {
      let offset = 0;
      for (let axis = 0; axis < large.length; axis++) {
        const at =
          position[axis]! * window.strides[axis]! +
          tap[axis]! * window.dilations[axis]! -
          window.begins[axis]!;
        if (at >= large[axis]! + window.ends[axis]!) offset = OUTSIDE;
        else if (offset !== OUTSIDE && (at < 0 || at >= large[axis]!)) offset = PADDING;
        if (offset >= 0) offset += at * strides[axis]!;
      }
      table[p * taps.length + k] = offset;
    });
  });
  return table;
}

/** Every coordinate of a shape, in row-major order. */
function coordinates(shape: readonly number[]): number[][] {
  const strides = stridesOf(shape);
  const flat = offsetsOf(shape, strides);
  return Array.from(flat, (i) => shape.map((dim, axis) => Math.floor(i / strides[axis]!) % dim));
}
