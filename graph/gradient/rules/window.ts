import { intsAttribute, stringAttribute, type Node } from '../../ir/graph.js';
import type { Formula } from '../../formula/index.js';

/** How a window (of a convolution or a pool) moves over the spatial axes; one entry per spatial axis. */
export interface Window {
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** Padding before the first element. */
  readonly before: readonly number[];
  /**
   * Padding after the last element that windows really reach: negative where trailing elements are in no window,
   * more than the attribute says in the ceiling mode.
   */
  readonly after: readonly number[];
  readonly input: readonly number[];
  readonly output: readonly number[];
}

/** @param input, output spatial lengths */
export function windowOf(
  node: Node,
  kernel: readonly number[],
  input: readonly number[],
  output: readonly number[],
): Window {
  const strides = intsAttribute(node, 'strides') ?? kernel.map(() => 1);
  const dilations = intsAttribute(node, 'dilations') ?? kernel.map(() => 1);
  const reach = kernel.map((size, i) => (output[i]! - 1) * strides[i]! + (size - 1) * dilations[i]! + 1);
  const before = kernel.map((_, i) => paddingBefore(node, i, reach[i]! - input[i]!));
  const after = reach.map((length, i) => length - input[i]! - before[i]!);
  return { kernel, strides, dilations, before, after, input, output };
}

/** @param total what the windows reach beyond the input, before and after it */
function paddingBefore(node: Node, axis: number, total: number): number {
  const auto = stringAttribute(node, 'auto_pad', 'NOTSET');
  // of a transposed convolution: its padding follows from the lengths asked for
  const asked = node.attributes['output_shape'] !== undefined;
  const shared = Math.max(0, total + (intsAttribute(node, 'output_padding')?.[axis] ?? 0));
  if (auto === 'SAME_UPPER') return Math.floor(shared / 2);
  if (auto === 'SAME_LOWER' || asked) return Math.ceil(shared / 2);
  if (auto === 'VALID') return 0;
  return intsAttribute(node, 'pads')?.[axis] ?? 0;
}

/** Every position within a window, the last axis fastest. */
export function positionsOf(kernel: readonly number[]): number[][] {
  return kernel.reduce<number[][]>(
    (positions, size) =>
      positions.flatMap((position) => Array.from({ length: size }, (_, i) => [...position, i])),
    [[]],
  );
}

/**
 * For each position within the window, what all windows see there: strided parts of the padded input.
 * @param x [..., spatial]
 * @returns one [..., output] for each position, in the order of `positionsOf`
 */
export function unfold(f: Formula, x: string, window: Window, filler = 0): string[] {
  const lead = f.rankOf(x) - window.kernel.length;
  const none = new Array<number>(lead).fill(0);
  const padded = f.pad(x, [...none, ...window.before], [...none, ...window.after], filler);
  return positionsOf(window.kernel).map((position) =>
    f.slice(
      padded,
      position.map((at, i) => {
        const start = at * window.dilations[i]!;
        const step = window.strides[i]!;
        return { axis: lead + i, start, end: start + (window.output[i]! - 1) * step + 1, step };
      }),
    ),
  );
}
