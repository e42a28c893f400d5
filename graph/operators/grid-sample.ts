import { ShapeError } from '../errors.js';
import { intAttribute, stringAttribute, type Node } from '../ir/graph.js';
import { formatType, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition } from './definition.js';
import { define, operand, ranked, sameType, valueOf } from './operands.js';

/** How a GridSample reads the image between its pixels and outside of it. */
export interface Sampling {
  readonly nearest: boolean;
  /** Outside lies the pixel at the border; zero otherwise. */
  readonly border: boolean;
  /** Whether -1 and 1 are the centres of the outermost pixels, or their outer edges. */
  readonly alignCorners: boolean;
}

/** @throws ShapeError for the modes that dtrain does not have: cubic, reflection */
export function samplingOf(node: Node): Sampling {
  const choice = (name: string, fallback: string, accepted: readonly string[]): string => {
    const given = stringAttribute(node, name, fallback);
    if (accepted.includes(given)) return given;
    throw new ShapeError(node, `${name} is "${given}"; ${accepted.join(' or ')} would be accepted`);
  };
  return {
    nearest: choice('mode', 'linear', ['linear', 'nearest']) === 'nearest',
    border: choice('padding_mode', 'zeros', ['zeros', 'border']) === 'border',
    alignCorners: intAttribute(node, 'align_corners', 0) === 1,
  };
}

/** X [N, C, H, W] and the grid [N, Ho, Wo, 2] of places (x, y) in [-1, 1]. */
function operandsOf(
  node: Node,
  inputs: readonly (TensorType | undefined)[],
): { x: TensorType; grid: TensorType } {
  const x = operand(node, inputs, 0, 'float');
  const grid = operand(node, inputs, 1, 'float');
  ranked(node, x, 4, 'X');
  ranked(node, grid, 4, 'the grid');
  sameType(node, x, grid, 1);
  if (grid.shape[0] !== x.shape[0] || grid.shape[3] !== 2) {
    throw new ShapeError(
      node,
      `X is ${formatType(x)} and the grid ${formatType(grid)}; a grid of [${x.shape[0]!}, height, width, 2] would be accepted`,
    );
  }
  return { x, grid };
}

/** Ties go to the even one. */
function roundToEven(x: number): number {
  const floor = Math.floor(x);
  if (x - floor !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** GridSample: the image at each place of the grid, interpolated between the four pixels around. */
const gridSample = define(
  'GridSample',
  (node, inputs) => {
    const { x, grid } = operandsOf(node, inputs);
    samplingOf(node);
    const [, height, width] = grid.shape as [number, number, number];
    return [{ dtype: x.dtype, shape: [x.shape[0]!, x.shape[1]!, height, width] }];
  },
  (node, inputs, [type]) => {
    const { nearest, border, alignCorners } = samplingOf(node);
    const { data, shape } = operand(node, inputs, 0);
    const grid = operand(node, inputs, 1).data;
    const [, channels, tall, wide] = shape as [number, number, number, number];
    const places = type!.shape[2]! * type!.shape[3]!;
    const placeIn = (at: number, length: number): number => {
      const place = alignCorners ? ((at + 1) / 2) * (length - 1) : ((at + 1) * length - 1) / 2;
      return border ? Math.min(Math.max(place, 0), length - 1) : place;
    };
    const result = valueOf(type!);
    result.data.forEach((_, i) => {
      const plane = Math.floor(i / places);
      const at = (Math.floor(plane / channels) * places + (i % places)) * 2;
      const [x, y] = [placeIn(grid[at]!, wide), placeIn(grid[at + 1]!, tall)];
      const pixel = (row: number, column: number): number =>
        row < 0 || row >= tall || column < 0 || column >= wide
          ? 0
          : data[(plane * tall + row) * wide + column]!;
      if (nearest) {
        result.data[i] = pixel(roundToEven(y), roundToEven(x));
        return;
      }
      const [left, top] = [Math.floor(x), Math.floor(y)];
      const along = (row: number): number =>
        (left + 1 - x) * pixel(row, left) + (x - left) * pixel(row, left + 1);
      result.data[i] = (top + 1 - y) * along(top) + (y - top) * along(top + 1);
    });
    return [result];
  },
);

export const gridSampleOperators: readonly OperatorDefinition[] = [gridSample];
