import { attribute, scalar, type Attributes } from '../../../graph/index.js';
import type { Draw, Trial } from './draw.js';

type Make = (draw: Draw) => Trial;

const { int, float, string } = attribute;

const unary =
  (low = -3, high = 3, attributes: (draw: Draw) => Attributes = () => ({})): Make =>
  (draw) => ({ inputs: [draw.floats(draw.shape(), low, high)], attributes: attributes(draw) });

/** A unary operator with a float attribute, which is sometimes left to its default. */
const tuned = (name: string, ...values: readonly number[]): Make =>
  unary(-3, 3, (draw) => (draw.below(3) === 0 ? {} : { [name]: float(draw.one(values)) }));

/** Two integer operands, either of which may be broadcast. */
const bitwise: Make = (draw) => {
  const shape = draw.shape();
  const dtype = draw.one(['int64', 'int32', 'uint8'] as const);
  const low = dtype === 'uint8' ? 0 : -99;
  return {
    inputs: [draw.ints(draw.narrowed(shape), low, 99, dtype), draw.ints(shape, low, 99, dtype)],
  };
};

/** Elementwise operators on random shapes and attributes. */
export const ACTIVATION_TRIALS: Readonly<Record<string, Make>> = {
  Acos: unary(-0.9, 0.9),
  Acosh: unary(1.1),
  Asin: unary(-0.9, 0.9),
  Asinh: unary(),
  Atan: unary(),
  Atanh: unary(-0.9, 0.9),
  BitShift: (draw) => {
    const shape = draw.shape();
    return {
      inputs: [draw.ints(shape, 0, 255, 'uint8'), draw.ints(draw.narrowed(shape), 0, 7, 'uint8')],
      attributes: { direction: string(draw.one(['LEFT', 'RIGHT'])) },
    };
  },
  BitwiseAnd: bitwise,
  BitwiseNot: (draw) => ({ inputs: [bitwise(draw).inputs[0]] }),
  BitwiseOr: bitwise,
  BitwiseXor: bitwise,
  Celu: tuned('alpha', 0.5, 2),
  Cosh: unary(),
  HardSigmoid: tuned('alpha', 0.25, 0.5),
  HardSwish: unary(-4, 4),
  IsInf: (draw) => {
    const x = draw.floats(draw.shape(1));
    for (let i = 0; i < x.data.length; i++) x.data[i] = draw.one([Infinity, -Infinity, NaN, 1, 0]);
    return {
      inputs: [x],
      attributes: { detect_negative: int(draw.below(2)), detect_positive: int(draw.below(2)) },
    };
  },
  Mean: (draw) => {
    const shape = draw.shape();
    const others = Array.from({ length: draw.below(3) }, () => draw.floats(draw.narrowed(shape)));
    return { inputs: [...others, draw.floats(shape)] };
  },
  Mish: unary(),
  PRelu: (draw) => {
    const shape = draw.shape();
    const slope = draw.below(3) === 0 ? scalar('float32', 0.25) : draw.floats(draw.narrowed(shape));
    return { inputs: [draw.floats(shape), slope] };
  },
  Round: unary(),
  Selu: unary(-3, 3, (draw) => (draw.flag() ? {} : { alpha: float(0.5), gamma: float(2) })),
  Shrink: unary(-3, 3, (draw) => ({ bias: float(draw.one([0, 0.75])), lambd: float(draw.one([0.5, 1.5])) })),
  Sinh: unary(),
  Softsign: unary(),
  Swish: tuned('alpha', 0.5, 1.702),
  Tan: unary(-1.2, 1.2),
  ThresholdedRelu: tuned('alpha', -0.5, 0.5),
};
