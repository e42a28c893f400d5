import { ShapeError } from '../errors.js';
import { floatAttribute, intAttribute, intsAttribute, stringAttribute, type Node } from '../ir/graph.js';
import { axesIn } from './operands.js';

/** What a Resize does along one axis. */
export interface ResizedAxis {
  /** Elements before and after. */
  readonly length: number;
  readonly output: number;
  /** float32, as engines hold it; not always output / length. */
  readonly scale: number;
}

/** An input element that an output element reads, with its weight. */
export interface Tap {
  readonly at: number;
  readonly weight: number;
}

/** Coordinates are computed in float32, as engines do: which of two elements is the nearest depends on the rounding. */
const f32 = Math.fround;

type Coordinate = (x: number, axis: ResizedAxis) => number;

const halfPixel: Coordinate = (x, { scale }) => f32(f32(f32(x + 0.5) / scale) - 0.5);

/** Where an output coordinate lies in the input, by `coordinate_transformation_mode`. */
const COORDINATES: Readonly<Record<string, Coordinate>> = {
  half_pixel: halfPixel,
  half_pixel_symmetric: (x, axis) => {
    const { length, output, scale } = axis;
    const adjustment = f32(output / f32(scale * length));
    const offset = f32((length / 2) * f32(1 - adjustment));
    return f32(f32(offset + f32(f32(x + 0.5) / scale)) - 0.5);
  },
  pytorch_half_pixel: (x, axis) => (axis.output > 1 ? halfPixel(x, axis) : 0),
  align_corners: (x, { length, output }) => (output > 1 ? f32(f32(x * (length - 1)) / (output - 1)) : 0),
  asymmetric: (x, { scale }) => f32(x / scale),
  tf_half_pixel_for_nn: (x, { scale }) => f32(f32(x + 0.5) / scale),
};

/** Which element a coordinate between two is given to, by `nearest_mode`. */
const NEAREST: Readonly<Record<string, (x: number) => number>> = {
  round_prefer_floor: (x) => Math.ceil(x - 0.5),
  round_prefer_ceil: (x) => Math.floor(x + 0.5),
  floor: Math.floor,
  ceil: Math.ceil,
};

type Taps = (node: Node, x: number, length: number) => readonly Tap[];

/** The elements around a coordinate and their weights, by `mode`; places may be outside of the input. */
const MODES: Readonly<Record<string, Taps>> = {
  nearest: (node, x) => [{ at: chosen(node, 'nearest_mode', 'round_prefer_floor', NEAREST)(x), weight: 1 }],
  linear: (_, x) => {
    const at = Math.floor(x);
    return [
      { at, weight: at + 1 - x },
      { at: at + 1, weight: x - at },
    ];
  },
  cubic: (node, x, length) => {
    const at = Math.floor(x);
    const a = floatAttribute(node, 'cubic_coeff_a', -0.75);
    const taps = [-1, 0, 1, 2].map((by) => ({ at: at + by, weight: cubicWeight(Math.abs(x - at - by), a) }));
    if (intAttribute(node, 'exclude_outside', 0) === 0) return taps;
    const inside = taps.filter((tap) => tap.at >= 0 && tap.at < length);
    const total = inside.reduce((sum, { weight }) => sum + weight, 0);
    return inside.map((tap) => ({ at: tap.at, weight: tap.weight / total }));
  },
};

/** Keys' convolution kernel (1981), eq. 3. */
function cubicWeight(distance: number, a: number): number {
  if (distance <= 1) return ((a + 2) * distance - (a + 3)) * distance ** 2 + 1;
  return distance < 2 ? a * (((distance - 5) * distance + 8) * distance - 4) : 0;
}

/** @throws ShapeError where the attribute names none of the table's entries */
function chosen<T>(node: Node, attribute: string, fallback: string, table: Readonly<Record<string, T>>): T {
  const name = stringAttribute(node, attribute, fallback);
  const entry = Object.hasOwn(table, name) ? table[name] : undefined;
  if (entry !== undefined) return entry;
  throw new ShapeError(
    node,
    `${attribute} is "${name}"; one of ${Object.keys(table).join(', ')} would be accepted`,
  );
}

/**
 * What each output element along an axis reads; weights sum to 1, elements beyond the ends are those at the ends.
 * @returns one list for each of `axis.output` elements
 */
export function tapsAlong(node: Node, axis: ResizedAxis): readonly (readonly Tap[])[] {
  const { length, output, scale } = axis;
  if (output === length && scale === 1) return Array.from({ length }, (_, at) => [{ at, weight: 1 }]);
  const coordinate = chosen(node, 'coordinate_transformation_mode', 'half_pixel', COORDINATES);
  const taps = chosen(node, 'mode', 'nearest', MODES);
  return Array.from({ length: output }, (_, x) =>
    taps(node, coordinate(x, axis), length).map(({ at, weight }) => ({
      at: Math.min(Math.max(at, 0), length - 1),
      weight,
    })),
  );
}

/**
 * One entry for every axis of the input.
 * @param scales, sizes the operands of those names: one of them, for every axis or for those in the attribute `axes`
 * @throws ShapeError for a form that ONNX does not have, and for the two that dtrain does not: `antialias` and
 *   `tf_crop_and_resize`
 */
export function resizedAxes(
  node: Node,
  shape: readonly number[],
  scales: readonly number[] | undefined,
  sizes: readonly number[] | undefined,
): readonly ResizedAxis[] {
  if (intAttribute(node, 'antialias', 0) !== 0) {
    throw new ShapeError(node, 'has antialias = 1; 0 would be accepted (export with antialias=False)');
  }
  chosen(node, 'coordinate_transformation_mode', 'half_pixel', COORDINATES);
  chosen(node, 'mode', 'nearest', MODES);
  chosen(node, 'nearest_mode', 'round_prefer_floor', NEAREST);
  const named = intsAttribute(node, 'axes') ?? shape.map((_, axis) => axis);
  const axes = axesIn(node, named, shape.length);
  const given = scales ?? sizes;
  if (!given || (scales && sizes)) {
    throw new ShapeError(
      node,
      `has ${given ? 'both scales and sizes' : 'neither scales nor sizes'}; it needs one`,
    );
  }
  if (given.length !== axes.length || !given.every((value) => Number.isFinite(value) && value > 0)) {
    throw new ShapeError(
      node,
      `its ${scales ? 'scales' : 'sizes'} are [${given.join(', ')}]; a positive number for each of ${axes.length} axes would be accepted`,
    );
  }
  const result: ResizedAxis[] = shape.map((length) => ({ length, output: length, scale: 1 }));
  const common = scales
    ? undefined
    : commonScale(
        node,
        axes.map((axis, i) => given[i]! / shape[axis]!),
      );
  axes.forEach((axis, i) => {
    const length = shape[axis]!;
    if (scales) {
      const scale = f32(given[i]!);
      result[axis] = { length, output: Math.floor(f32(scale * length)), scale };
    } else if (common === undefined) {
      result[axis] = { length, output: given[i]!, scale: f32(given[i]! / length) };
    } else {
      result[axis] = { length, output: Math.floor(common * length + 0.5), scale: common };
    }
  });
  return result;
}

/** How the axes share one scale, of those asked for; with `stretch` each has its own. */
const POLICIES: Readonly<Record<string, (ratios: readonly number[]) => number | undefined>> = {
  stretch: () => undefined,
  not_larger: (ratios) => Math.min(...ratios),
  not_smaller: (ratios) => Math.max(...ratios),
};

/** The scale that `keep_aspect_ratio_policy` chooses; undefined where each axis has its own. */
function commonScale(node: Node, ratios: readonly number[]): number | undefined {
  const scale = chosen(node, 'keep_aspect_ratio_policy', 'stretch', POLICIES)(ratios);
  return scale === undefined ? undefined : f32(scale);
}
