import { attribute, int64s, tensorOf, type Attributes } from '../../../graph/index.js';
import type { Draw, Trial } from './draw.js';

const { int, ints, float, string } = attribute;

const COORDINATES = [
  'half_pixel',
  'half_pixel_symmetric',
  'pytorch_half_pixel',
  'align_corners',
  'asymmetric',
] as const;

/** Lengths, or how many times as long, on the spatial axes that follow `lead` axes that stay. */
function target(
  draw: Draw,
  lead: number,
  spatial: readonly number[],
  mode: string,
): Pick<Trial, 'inputs'> & { attributes: Attributes } {
  const named = draw.flag();
  const axes = spatial.map((_, axis) => lead + axis);
  const kept = named ? [] : new Array<number>(lead).fill(1);
  const attributes = named ? { axes: ints(axes) } : {};
  if (draw.flag()) {
    const scales = spatial.map(() =>
      draw.one(mode === 'nearest' ? [0.5, 1, 1.5, 2, 3] : [0.6, 1, 1.5, 2, 2.4]),
    );
    const operand = tensorOf('float32', [kept.length + scales.length], [...kept, ...scales]);
    return { inputs: [undefined, operand, undefined], attributes };
  }
  const policy = named ? draw.one(['stretch', 'not_larger', 'not_smaller']) : 'stretch';
  const sizes = spatial.map(() => draw.between(2, 9));
  return {
    inputs: [undefined, undefined, int64s(sizes)],
    attributes: { axes: ints(axes), keep_aspect_ratio_policy: string(policy) },
  };
}

export const RESIZE_TRIALS: Readonly<Record<string, (draw: Draw) => Trial>> = {
  Resize: (draw) => {
    const mode = draw.one(['nearest', 'linear', 'cubic']);
    // onnxruntime interpolates two or three spatial axes linearly and two cubically
    const rank = mode === 'nearest' ? draw.between(1, 3) : mode === 'linear' ? draw.between(2, 3) : 2;
    const spatial = Array.from({ length: rank }, () => draw.between(2, 4));
    const { inputs, attributes } = target(draw, 2, spatial, mode);
    return {
      inputs: [draw.floats([draw.between(1, 2), draw.between(1, 2), ...spatial]), ...inputs],
      known: [1, 2, 3],
      attributes: {
        ...attributes,
        mode: string(mode),
        coordinate_transformation_mode: string(draw.one(COORDINATES)),
        ...(mode === 'nearest'
          ? { nearest_mode: string(draw.one(['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil'])) }
          : {}),
        ...(mode === 'cubic'
          ? { cubic_coeff_a: float(draw.one([-0.75, -0.5])), exclude_outside: int(draw.below(2)) }
          : {}),
      },
    };
  },
};
