import { attribute } from '../ir/graph.js';
import type { NodeFormula } from '../formula/index.js';
import { samplingOf } from '../operators/grid-sample.js';
import type { DecompositionTable } from './table.js';

/** A coordinate of every place of the grid, [N, 1, places], in pixels. */
interface Axis {
  readonly at: string;
  /** Pixels along the axis. */
  readonly length: number;
}

/** A pixel beside each place along one axis, and its share in what is read there. */
interface Side {
  readonly pixel: string;
  readonly length: number;
  readonly weight: string | undefined;
}

/** The pixels around are looked up, and weighed by how near they are: the grid's gradient is that of the weights. */
function gridSample(d: NodeFormula): string {
  const { nearest, border, alignCorners } = samplingOf(d.node);
  const [batch, channels, tall, wide] = d.shapeOf(d.x) as [number, number, number, number];
  const [, height, width] = d.shapeOf(d.input(1)) as [number, number, number];
  const places = height * width;
  const axis = (part: number, length: number): Axis => {
    const column = d.slice(d.input(1), [{ axis: 3, start: part, end: part + 1 }]);
    const grid = d.reshape(column, [batch, 1, places]);
    const at = alignCorners
      ? d.mul(d.add(grid, 1), (length - 1) / 2)
      : d.sub(d.mul(d.add(grid, 1), length / 2), 0.5);
    return { at: border ? d.clip(at, 0, length - 1) : at, length };
  };
  const [x, y] = [axis(0, wide), axis(1, tall)];
  const sides = (each: Axis) => (nearest ? [nearestSide(d, each)] : linearSides(d, each));
  const pixels = d.reshape(d.x, [batch, channels, tall * wide]);
  const corners = sides(y).flatMap((row) => sides(x).map((column) => corner(d, pixels, row, column, places)));
  const sum = corners.reduce((total, each) => d.add(total, each));
  return d.reshape(sum, [batch, channels, height, width]);
}

function nearestSide(d: NodeFormula, { at, length }: Axis): Side {
  return { pixel: d.unary('Round', at), length, weight: undefined };
}

function linearSides(d: NodeFormula, { at, length }: Axis): Side[] {
  const low = d.unary('Floor', at);
  const high = d.add(low, 1);
  return [
    { pixel: low, length, weight: d.sub(high, at) },
    { pixel: high, length, weight: d.sub(at, low) },
  ];
}

/** What one of the pixels around adds, [N, C, places]; one outside of the image adds nothing. */
function corner(d: NodeFormula, pixels: string, row: Side, column: Side, places: number): string {
  const { dtype } = d.typeOf(pixels);
  const [batch, channels] = d.shapeOf(pixels) as [number, number];
  const inside = [row, column].map(({ pixel, length }) => d.clip(pixel, 0, length - 1)) as [string, string];
  const isInside = d.and(d.equal(inside[0], row.pixel), d.equal(inside[1], column.pixel));
  const offset = d.cast(d.add(d.mul(inside[0], column.length), inside[1]), 'int64');
  const found = d.one('GatherElements', [pixels, d.expandTo(offset, [batch, channels, places])], {
    axis: attribute.int(2),
  });
  const weights = [row.weight, column.weight].filter((weight) => weight !== undefined);
  const weight = weights.reduce((product, each) => d.mul(product, each), d.cast(isInside, dtype));
  return d.mul(found, weight);
}

export const sampling: DecompositionTable = { GridSample: (d) => [gridSample(d)] };
