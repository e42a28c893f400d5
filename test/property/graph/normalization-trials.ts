import { attribute, type Attributes } from '../../../graph/index.js';
import type { Draw, Trial } from './draw.js';

type Make = (draw: Draw) => Trial;

const { int, float, ints } = attribute;

const epsilon = (draw: Draw): Attributes => (draw.flag() ? {} : { epsilon: float(2 ** -10) });

/** [N, C, ...] with at least two elements in each channel, whose variance would else be exactly 0. */
const images = (draw: Draw, channels = draw.between(1, 4)): number[] => [
  draw.between(1, 3),
  channels,
  draw.between(2, 4),
  ...draw.shape(0, 2),
];

const rms: Make = (draw) => {
  const shape = draw.shape(1);
  const axis = draw.axis(shape.length);
  return {
    inputs: [draw.floats(shape), draw.floats(shape.slice(axis))],
    attributes: { axis: int(axis), ...epsilon(draw) },
  };
};

const simplified: Make = (draw) => ({ ...rms(draw), outputs: draw.between(1, 2) });

/** Normalizing operators on random shapes and attributes. */
export const NORMALIZATION_TRIALS: Readonly<Record<string, Make>> = {
  GroupNormalization: (draw) => {
    const groups = draw.between(1, 3);
    const shape = images(draw, groups * draw.between(1, 2));
    return {
      inputs: [draw.floats(shape), draw.floats([shape[1]!]), draw.floats([shape[1]!])],
      attributes: { num_groups: int(groups), ...epsilon(draw) },
    };
  },
  InstanceNormalization: (draw) => {
    const shape = images(draw);
    return {
      inputs: [draw.floats(shape), draw.floats([shape[1]!]), draw.floats([shape[1]!])],
      attributes: epsilon(draw),
    };
  },
  LpNormalization: (draw) => {
    const shape = draw.shape(1);
    const x = draw.floats(shape);
    return { inputs: [x], attributes: { axis: int(draw.axis(shape.length)), p: int(draw.between(1, 2)) } };
  },
  LRN: (draw) => ({
    inputs: [draw.floats([draw.between(1, 2), draw.between(1, 5), draw.between(1, 3), draw.between(1, 3)])],
    // onnxruntime takes odd sizes only
    attributes: {
      size: int(draw.one([1, 3, 5])),
      alpha: float(draw.one([0.5, 2])),
      ...(draw.flag() ? { beta: float(0.5), bias: float(2) } : {}),
    },
  }),
  MeanVarianceNormalization: (draw) => ({
    inputs: [draw.floats(images(draw, 3).slice(0, 3).concat(draw.between(1, 3)))],
    attributes: draw.flag()
      ? {
          axes: ints(
            draw.one([
              [0, 2, 3],
              [2, 3],
              [1, -2],
            ]),
          ),
        }
      : {},
  }),
  RMSNormalization: rms,
  SimplifiedLayerNormalization: simplified,
};
