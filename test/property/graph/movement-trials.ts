import { attribute, elementCode, int64s, scalar, sizeOf, tensorOf } from '../../../graph/index.js';
import type { Draw, Trial } from './draw.js';

const { int, string } = attribute;

/** Operators that move elements, take some, or put some in. */
export const MOVEMENT_TRIALS: Readonly<Record<string, (draw: Draw) => Trial>> = {
  CenterCropPad: (draw) => {
    const shape = draw.shape(1);
    const axes = draw.flag() ? draw.axes(shape.length) : undefined;
    return {
      inputs: [draw.floats(shape), int64s((axes ?? shape).map(() => draw.between(1, 6)))],
      known: [1],
      attributes: axes ? { axes: attribute.ints(axes) } : {},
    };
  },
  CumSum: (draw) => {
    const shape = draw.shape(1);
    return {
      inputs: [draw.floats(shape), scalar(draw.one(['int32', 'int64'] as const), draw.axis(shape.length))],
      attributes: { exclusive: int(draw.below(2)), reverse: int(draw.below(2)) },
    };
  },
  DepthToSpace: (draw) => {
    const block = draw.between(1, 3);
    const [batch, depth, height, width] = [1, 2, 3, 4].map(() => draw.between(1, 3));
    return {
      inputs: [draw.floats([batch!, depth! * block ** 2, height!, width!])],
      attributes: {
        blocksize: int(block),
        ...(draw.flag() ? { mode: string(draw.one(['DCR', 'CRD'])) } : {}),
      },
    };
  },
  EyeLike: (draw) => ({
    inputs: [draw.floats([draw.between(1, 5), draw.between(1, 5)])],
    attributes: {
      ...(draw.flag() ? { k: int(draw.between(-3, 3)) } : {}),
      ...(draw.flag() ? { dtype: int(elementCode(draw.one(['float32', 'int64', 'int32'] as const))) } : {}),
    },
  }),
  GridSample: (draw) => {
    const [batch, channels, tall, wide, height, width] = [2, 2, 4, 4, 3, 3].map((most) =>
      draw.between(1, most),
    );
    return {
      inputs: [
        draw.floats([batch!, channels!, tall!, wide!]),
        draw.floats([batch!, height!, width!, 2], -1.3, 1.3),
      ],
      attributes: {
        mode: string(draw.one(['linear', 'nearest'])),
        padding_mode: string(draw.one(['zeros', 'border'])),
        align_corners: int(draw.below(2)),
      },
    };
  },
  NonZero: (draw) => ({ inputs: [draw.ints(draw.shape(1, 3), 0, 1, 'float32')], known: [0] }),
  Pad: (draw) => {
    const mode = draw.one(['constant', 'edge', 'reflect', 'wrap']);
    const shape = draw.shape(1).map((dim) => dim + 2);
    const axes = draw.flag() ? draw.axes(shape.length) : undefined;
    const padded = axes?.map((axis) => shape.at(axis)!) ?? shape;
    const most = { constant: 2, edge: 3, reflect: 1, wrap: 1 }[mode]!;
    const pads = [...padded, ...padded].map(() => draw.between(-1, most));
    const value = mode === 'constant' && draw.flag() ? scalar('float32', 7) : undefined;
    return {
      inputs: [draw.floats(shape), int64s(pads), value, axes && int64s(axes)],
      known: [1, 3],
      attributes: { mode: string(mode) },
    };
  },
  ReverseSequence: (draw) => {
    const shape = draw.shape(2);
    const batch = draw.below(2);
    return {
      inputs: [draw.floats(shape), draw.ints([shape[batch]!], 1, shape[1 - batch]!)],
      attributes: { batch_axis: int(batch), time_axis: int(1 - batch) },
    };
  },
  ScatterElements: (draw) => {
    const reduction = draw.one(['none', 'add', 'mul', 'max', 'min']);
    const { shape, indices, axis } = elementIndices(draw, reduction === 'none');
    return {
      inputs: [draw.floats(shape), indices, draw.floats(indices.shape)],
      attributes: { axis: int(axis), reduction: string(reduction) },
    };
  },
  ScatterND: (draw) => {
    const shape = draw.shape(1);
    const depth = draw.between(1, shape.length);
    const reduction = draw.one(['none', 'add', 'mul', 'max', 'min']);
    // Where updates overwrite, their order is undefined: a single tuple then.
    const tuples = reduction === 'none' ? [1] : draw.shape(0, 2);
    const indices = tupleIndices(draw, tuples, shape.slice(0, depth));
    return {
      inputs: [draw.floats(shape), indices, draw.floats([...tuples, ...shape.slice(depth)])],
      known: draw.flag() ? [1] : [],
      attributes: { reduction: string(reduction) },
    };
  },
  SpaceToDepth: (draw) => {
    const block = draw.between(1, 3);
    const [batch, depth, height, width] = [1, 2, 3, 4].map(() => draw.between(1, 3));
    return {
      inputs: [draw.floats([batch!, depth!, height! * block, width! * block])],
      attributes: { blocksize: int(block) },
    };
  },
  TopK: (draw) => {
    const shape = draw.shape(1);
    const axis = draw.axis(shape.length);
    return {
      inputs: [draw.distinct(shape), int64s([draw.between(1, shape.at(axis)!)])],
      known: [1],
      outputs: 2,
      attributes: { axis: int(axis), largest: int(draw.below(2)), sorted: int(1) },
    };
  },
};

/** Indices for GatherElements and ScatterElements; `unique` where two updates must not meet. */
export function elementIndices(
  draw: Draw,
  unique = false,
): { shape: number[]; indices: ReturnType<Draw['ints']>; axis: number } {
  const shape = draw.shape(1, 3);
  const axis = draw.axis(shape.length);
  const length = shape.at(axis)!;
  const within = shape.map((dim) => draw.between(1, dim)).with(axis, unique ? 1 : draw.between(1, 4));
  return { shape, axis, indices: draw.ints(within, -length, length - 1) };
}

export function tupleIndices(
  draw: Draw,
  tuples: readonly number[],
  lengths: readonly number[],
): ReturnType<Draw['ints']> {
  const values = Array.from({ length: sizeOf(tuples) }, () =>
    lengths.map((dim) => draw.between(-dim, dim - 1)),
  ).flat();
  return tensorOf('int64', [...tuples, lengths.length], values);
}
