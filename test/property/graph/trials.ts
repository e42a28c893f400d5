import {
  attribute,
  elementCode,
  int64s,
  scalar,
  sizeOf,
  tensorOf,
  type Attributes,
} from '../../../graph/index.js';
import type { Draw, Trial } from './draw.js';
import { elementIndices, tupleIndices } from './movement-trials.js';

type Make = (draw: Draw) => Trial;

const { int, float, ints, string } = attribute;
const keep = (draw: Draw): Attributes => ({ keepdims: int(draw.below(2)) });

const unary =
  (low = -3, high = 3, attributes: (draw: Draw) => Attributes = () => ({})): Make =>
  (draw) => ({ inputs: [draw.floats(draw.shape(), low, high)], attributes: attributes(draw) });

const logical: Make = (draw) => {
  const shape = draw.shape();
  return { inputs: [draw.bools(draw.narrowed(shape)), draw.bools(shape)] };
};

/** Two operands of one element type, either of which may be broadcast. */
const binary =
  (low = -3, high = 3, whole = true): Make =>
  (draw) => {
    const shape = draw.shape();
    const other = draw.narrowed(shape);
    const [a, b] = draw.flag() ? [shape, other] : [other, shape];
    if (whole && draw.below(3) === 0) return { inputs: [draw.ints(a, -5, 5), draw.ints(b, 1, 5)] };
    return { inputs: [draw.floats(a, low, high), draw.floats(b, low, high)] };
  };

const variadic: Make = (draw) => {
  const shape = draw.shape();
  return {
    inputs: [
      draw.floats(shape),
      ...Array.from({ length: draw.below(3) }, () => draw.floats(draw.narrowed(shape))),
    ],
  };
};

const reduction =
  (low = -2): Make =>
  (draw) => {
    const shape = draw.shape(1);
    const axes = draw.one([undefined, int64s([]), int64s(draw.axes(shape.length))]);
    const attributes = { ...keep(draw), noop_with_empty_axes: int(draw.below(2)) };
    return { inputs: [draw.floats(shape, low, 2), axes], known: [1], attributes };
  };

const alongAxis: Make = (draw) => {
  const shape = draw.shape(1);
  return { inputs: [draw.floats(shape)], attributes: { axis: int(draw.axis(shape.length)) } };
};

const best: Make = (draw) => {
  const shape = draw.shape(1);
  return {
    inputs: [draw.distinct(shape)],
    attributes: { ...keep(draw), axis: int(draw.axis(shape.length)) },
  };
};

/** Every operator on random shapes and attributes. */
export const TRIALS: Readonly<Record<string, Make>> = {
  Abs: unary(),
  Add: binary(),
  And: logical,
  ArgMax: best,
  ArgMin: best,
  BatchNormalization: (draw) => {
    const shape = draw.shape(2);
    const channels = [shape[1]!];
    const statistics = [
      draw.floats(channels),
      draw.floats(channels),
      draw.floats(channels),
      draw.floats(channels, 0.1, 2),
    ];
    const training = draw.below(2);
    return {
      inputs: [draw.floats(shape), ...statistics],
      outputs: training ? 3 : 1,
      attributes: {
        training_mode: int(training),
        momentum: float(draw.one([0.5, 0.75])),
        epsilon: float(2 ** -10),
      },
    };
  },
  Cast: (draw) => {
    const to = draw.one(['float32', 'float64', 'int32', 'int64', 'bool', 'uint8'] as const);
    return { inputs: [draw.floats(draw.shape(), 0, 9)], attributes: { to: int(elementCode(to)) } };
  },
  CastLike: (draw) => ({ inputs: [draw.floats(draw.shape(), -9, 9), draw.ints([2], 0, 3)] }),
  Ceil: unary(),
  Clip: (draw) => ({
    inputs: [
      draw.floats(draw.shape()),
      draw.flag() ? scalar('float32', -1) : undefined,
      draw.flag() ? scalar('float32', 0.5) : undefined,
    ],
  }),
  Concat: (draw) => {
    const shape = draw.shape(1);
    const axis = draw.axis(shape.length);
    const parts = Array.from({ length: draw.between(1, 3) }, () =>
      draw.floats(shape.with(axis, draw.between(1, 3))),
    );
    return { inputs: parts, attributes: { axis: int(axis) } };
  },
  ConstantOfShape: (draw) => ({
    inputs: [int64s(draw.shape())],
    known: [0],
    attributes: draw.flag() ? { value: attribute.tensor(tensorOf('int64', [1], [draw.below(9)])) } : {},
  }),
  Cos: unary(),
  Div: binary(0.5, 3),
  Dropout: (draw) => ({ inputs: [draw.floats(draw.shape())], outputs: draw.between(1, 2) }),
  Elu: unary(-3, 3, (draw) => ({ alpha: float(draw.one([0.5, 1, 2])) })),
  Equal: (draw) => {
    const shape = draw.shape();
    return { inputs: [draw.ints(shape, 0, 2), draw.ints(draw.narrowed(shape), 0, 2)] };
  },
  Erf: unary(),
  Exp: unary(),
  Expand: (draw) => {
    const shape = draw.shape();
    return {
      inputs: [draw.floats(draw.narrowed(shape)), int64s(draw.flag() ? shape : draw.narrowed(shape))],
      known: [1],
    };
  },
  Flatten: (draw) => {
    const shape = draw.shape(1);
    return {
      inputs: [draw.floats(shape)],
      attributes: { axis: int(draw.between(-shape.length, shape.length)) },
    };
  },
  Floor: unary(),
  Gather: (draw) => {
    const shape = draw.shape(1, 3);
    const axis = draw.axis(shape.length);
    const length = shape.at(axis)!;
    return {
      inputs: [draw.floats(shape), draw.ints(draw.shape(0, 2), -length, length - 1)],
      attributes: { axis: int(axis) },
    };
  },
  GatherElements: (draw) => {
    const { shape, indices, axis } = elementIndices(draw);
    return { inputs: [draw.floats(shape), indices], attributes: { axis: int(axis) } };
  },
  GatherND: (draw) => {
    const shape = draw.shape(2);
    const batch = draw.below(shape.length);
    const depth = draw.between(1, shape.length - batch);
    const lengths = shape.slice(batch, batch + depth);
    const tuples = [...shape.slice(0, batch), ...draw.shape(0, 2)];
    return {
      inputs: [draw.floats(shape), tupleIndices(draw, tuples, lengths)],
      attributes: { batch_dims: int(batch) },
    };
  },
  Gelu: unary(-3, 3, (draw) => ({ approximate: string(draw.one(['none', 'tanh'])) })),
  Gemm: (draw) => {
    const [m, k, n] = [draw.between(1, 6), draw.between(1, 6), draw.between(1, 6)];
    const [transA, transB] = [draw.below(2), draw.below(2)];
    return {
      inputs: [
        draw.floats(transA ? [k, m] : [m, k]),
        draw.floats(transB ? [n, k] : [k, n]),
        draw.flag() ? draw.floats(draw.narrowed([m, n])) : undefined,
      ],
      attributes: {
        transA: int(transA),
        transB: int(transB),
        alpha: float(0.5),
        beta: float(draw.one([1, 2])),
      },
    };
  },
  Greater: binary(),
  GreaterOrEqual: binary(),
  Hardmax: (draw) => {
    const shape = draw.shape(1);
    return { inputs: [draw.distinct(shape)], attributes: { axis: int(draw.axis(shape.length)) } };
  },
  Identity: unary(),
  IsNaN: (draw) => ({ inputs: [tensorOf('float32', [3], [1, NaN, draw.uniform()])] }),
  LayerNormalization: (draw) => {
    const shape = draw.shape(1);
    const axis = draw.axis(shape.length);
    const block = shape.slice(axis);
    return {
      inputs: [draw.floats(shape), draw.floats(block), draw.flag() ? draw.floats(block) : undefined],
      outputs: draw.one([1, 3]),
      attributes: { axis: int(axis), epsilon: float(2 ** -10) },
    };
  },
  LeakyRelu: unary(-3, 3, (draw) => ({ alpha: float(draw.one([0.25, 0.5])) })),
  Less: binary(),
  LessOrEqual: binary(),
  Log: unary(0.1),
  LogSoftmax: alongAxis,
  MatMul: (draw) => {
    const batch = draw.shape(0, 2);
    const [m, k, n] = [draw.between(1, 4), draw.between(1, 4), draw.between(1, 4)];
    const left = draw.below(4) === 0 ? [k] : [...draw.narrowed(batch), m, k];
    const right = draw.below(4) === 0 ? [k] : [...batch, k, n];
    return { inputs: [draw.floats(left), draw.floats(right)] };
  },
  Max: variadic,
  Min: variadic,
  Mod: (draw) => {
    const shape = draw.shape();
    if (draw.flag()) return { inputs: [draw.ints(shape, -9, 9), draw.ints(shape, 1, 4)] };
    return { inputs: [draw.floats(shape), draw.floats(shape, 0.5, 2)], attributes: { fmod: int(1) } };
  },
  Mul: binary(),
  Neg: unary(),
  Not: (draw) => ({ inputs: [draw.bools(draw.shape())] }),
  OneHot: (draw) => {
    const shape = draw.shape(1, 3);
    const depth = draw.between(1, 4);
    return {
      inputs: [draw.ints(shape, -depth - 1, depth), scalar('int64', depth), draw.floats([2])],
      known: [1],
      attributes: { axis: int(draw.axis(shape.length + 1)) },
    };
  },
  Or: logical,
  Pow: (draw) => {
    const shape = draw.shape();
    return { inputs: [draw.floats(shape, 0.1), draw.floats(draw.narrowed(shape))] };
  },
  Range: (draw) => ({
    inputs: [
      scalar('int64', draw.between(-3, 3)),
      scalar('int64', draw.between(-3, 9)),
      scalar('int64', draw.one([1, 2, -1])),
    ],
    known: [0, 1, 2],
  }),
  Reciprocal: unary(0.5),
  ReduceL1: reduction(),
  ReduceL2: reduction(),
  ReduceLogSum: reduction(0.1),
  ReduceLogSumExp: reduction(),
  ReduceMax: reduction(),
  ReduceMean: reduction(),
  ReduceMin: reduction(),
  ReduceProd: reduction(),
  ReduceSum: reduction(),
  ReduceSumSquare: reduction(),
  Relu: unary(),
  Reshape: (draw) => {
    const shape = draw.shape(1);
    const target = draw.flag() ? [...shape.slice(0, -1), -1] : draw.flag() ? [0, -1] : [sizeOf(shape)];
    return { inputs: [draw.floats(shape), int64s(target)], known: [1] };
  },
  Shape: (draw) => ({
    inputs: [draw.floats(draw.shape())],
    attributes: draw.flag() ? { start: int(draw.between(-3, 2)), end: int(draw.between(-2, 3)) } : {},
  }),
  Sigmoid: unary(),
  Sign: unary(),
  Sin: unary(),
  Size: (draw) => ({ inputs: [draw.floats(draw.shape())] }),
  Slice: (draw) => {
    const shape = draw.shape(1).map((dim) => dim + 1);
    const axes = draw.axes(shape.length);
    const edges = (): number[] => axes.map(() => draw.one([draw.between(-6, 6), 2 ** 40, -(2 ** 40)]));
    const steps = axes.map(() => draw.one([1, 2, -1, -2]));
    return {
      inputs: [
        draw.floats(shape),
        int64s(edges()),
        int64s(edges()),
        int64s(axes),
        draw.flag() ? int64s(steps) : undefined,
      ],
      known: [1, 2, 3, 4],
    };
  },
  Softmax: alongAxis,
  Softplus: unary(),
  Split: (draw) => {
    const shape = draw.shape(1);
    const axis = draw.axis(shape.length);
    const lengths = Array.from({ length: draw.between(1, 3) }, () => draw.between(1, 3));
    const total = lengths.reduce((sum, length) => sum + length, 0);
    const input = draw.floats(shape.with(axis, total));
    if (draw.flag()) {
      return {
        inputs: [input, int64s(lengths)],
        known: [1],
        outputs: lengths.length,
        attributes: { axis: int(axis) },
      };
    }
    const outputs = draw.between(1, Math.min(2, total));
    return { inputs: [input], outputs, attributes: { axis: int(axis), num_outputs: int(outputs) } };
  },
  Sqrt: unary(0.1),
  Squeeze: (draw) => {
    const shape = draw.shape(1);
    const axis = draw.axis(shape.length);
    return {
      inputs: [draw.floats(shape.with(axis, 1)), draw.flag() ? int64s([axis]) : undefined],
      known: [1],
    };
  },
  Sub: binary(),
  Sum: variadic,
  Tanh: unary(),
  Tile: (draw) => {
    const shape = draw.shape(1);
    return { inputs: [draw.floats(shape), int64s(shape.map(() => draw.between(1, 3)))], known: [1] };
  },
  Transpose: (draw) => {
    const shape = draw.shape(1);
    const perm = shape.map((_, axis) => axis);
    draw.shuffle(perm);
    return { inputs: [draw.floats(shape)], attributes: draw.flag() ? { perm: ints(perm) } : {} };
  },
  Trilu: (draw) => ({
    inputs: [draw.floats(draw.shape(2)), draw.flag() ? scalar('int64', draw.between(-3, 3)) : undefined],
    attributes: { upper: int(draw.below(2)) },
  }),
  Unsqueeze: (draw) => {
    const shape = draw.shape();
    const added = draw.between(1, 2);
    return { inputs: [draw.floats(shape), int64s(draw.axes(shape.length + added, added))], known: [1] };
  },
  Where: (draw) => {
    const shape = draw.shape();
    return {
      inputs: [draw.bools(draw.narrowed(shape)), draw.floats(shape), draw.floats(draw.narrowed(shape))],
    };
  },
  Xor: logical,
};
