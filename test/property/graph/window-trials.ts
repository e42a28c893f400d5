import { attribute, int64s, sizeOf, tensorOf, type Attributes } from '../../../graph/index.js';
import type { Draw, Trial } from './draw.js';

const { int, ints, string } = attribute;

interface Space {
  readonly spatial: readonly number[];
  readonly kernel: readonly number[];
  readonly attributes: Attributes;
}

/** Lengths, a kernel that fits them, and strides, dilations and padding of one kind or another. */
function space(draw: Draw, dilated: boolean): Space {
  const rank = draw.between(1, 3);
  const list = (low: number, high: number, length = rank): number[] =>
    Array.from({ length }, () => draw.between(low, high));
  const [kernel, strides] = [list(1, 3), list(1, 3)];
  const dilations = dilated ? list(1, 2) : list(1, 1);
  const spatial = kernel.map(
    (length, axis) => (length - 1) * dilations[axis]! + draw.between(1, rank === 3 ? 3 : 5),
  );
  const pads = [...kernel, ...kernel].map((length) => Math.min(length - 1, draw.below(2)));
  // onnxruntime refuses SAME with dilation and differs where a stride is longer than the kernel.
  const same = kernel.every((length, axis) => dilations[axis] === 1 && strides[axis]! <= length);
  const padding = draw.one<Attributes>([
    {},
    { pads: ints(pads) },
    { auto_pad: string('VALID') },
    ...(same ? [{ auto_pad: string('SAME_UPPER') }, { auto_pad: string('SAME_LOWER') }] : []),
  ]);
  const attributes = {
    ...padding,
    kernel_shape: ints(kernel),
    strides: ints(strides),
    dilations: ints(dilations),
  };
  return { spatial, kernel, attributes };
}

/** Operators whose window slides over space, in one to three dimensions. */
export const WINDOW_TRIALS: Readonly<Record<string, (draw: Draw) => Trial>> = {
  AveragePool: (draw) => {
    const { spatial, attributes } = space(draw, true);
    return {
      inputs: [draw.floats([draw.between(1, 2), draw.between(1, 2), ...spatial])],
      attributes: { ...attributes, count_include_pad: int(draw.below(2)), ceil_mode: int(draw.below(2)) },
    };
  },
  Conv: (draw) => {
    const { spatial, kernel, attributes } = space(draw, true);
    const [groups, depth, width] = [draw.between(1, 3), draw.between(1, 2), draw.between(1, 2)];
    return {
      inputs: [
        draw.floats([draw.between(1, 2), groups * depth, ...spatial]),
        draw.floats([groups * width, depth, ...kernel]),
        draw.flag() ? draw.floats([groups * width]) : undefined,
      ],
      attributes: { ...attributes, group: int(groups) },
    };
  },
  ConvTranspose: (draw) => {
    const { spatial, kernel, attributes } = space(draw, true);
    const [groups, depth, width] = [draw.between(1, 3), draw.between(1, 2), draw.between(1, 2)];
    const small = spatial.map((length) => Math.min(length, 3));
    // onnxruntime wants the output padding shorter than the stride or the dilation
    const strides = intsOf(attributes, 'strides');
    const extra = attributes['auto_pad'] ? kernel.map(() => 0) : strides.map((stride) => draw.below(stride));
    return {
      inputs: [
        draw.floats([draw.between(1, 2), groups * depth, ...small]),
        draw.floats([groups * depth, width, ...kernel]),
        draw.flag() ? draw.floats([groups * width]) : undefined,
      ],
      attributes: { ...attributes, group: int(groups), output_padding: ints(extra) },
    };
  },
  GlobalAveragePool: (draw) => ({ inputs: [draw.floats(draw.shape(3))] }),
  GlobalLpPool: (draw) => ({
    inputs: [draw.floats(draw.shape(3))],
    attributes: { p: int(draw.between(1, 4)) },
  }),
  GlobalMaxPool: (draw) => ({ inputs: [draw.floats(draw.shape(3))] }),
  LpPool: (draw) => {
    const { spatial, attributes } = space(draw, true);
    return {
      inputs: [draw.floats([draw.between(1, 2), draw.between(1, 2), ...spatial])],
      attributes: { ...attributes, p: int(draw.between(1, 4)), ceil_mode: int(draw.below(2)) },
    };
  },
  MaxPool: (draw) => {
    const { spatial, attributes } = space(draw, true);
    return {
      inputs: [draw.distinct([draw.between(1, 2), draw.between(1, 2), ...spatial])],
      outputs: draw.between(1, 2),
      attributes: { ...attributes, ceil_mode: int(draw.below(2)), storage_order: int(draw.below(2)) },
    };
  },
  MaxUnpool: (draw) => {
    const { spatial, kernel, attributes } = space(draw, false);
    const strides = intsOf(attributes, 'strides');
    const shape = [draw.between(1, 2), draw.between(1, 2), ...spatial.map((length) => Math.min(length, 3))];
    const whole = shape.map((dim, axis) =>
      axis < 2 ? dim : (dim - 1) * strides[axis - 2]! + kernel[axis - 2]!,
    );
    const asked = draw.flag() ? whole.map((dim, axis) => (axis < 2 ? dim : dim + draw.below(2))) : undefined;
    const places = Array.from({ length: sizeOf(asked ?? whole) }, (_, place) => place);
    draw.shuffle(places);
    return {
      inputs: [
        draw.floats(shape),
        tensorOf('int64', shape, places.slice(0, sizeOf(shape))),
        asked && int64s(asked),
      ],
      known: [2],
      attributes: { kernel_shape: ints(kernel), strides: ints(strides) },
    };
  },
};

function intsOf(attributes: Attributes, name: string): readonly number[] {
  const found = attributes[name];
  return found?.kind === 'ints' ? found.value : [];
}
