import { ShapeError } from '../errors.js';
import { floatAttribute, stringAttribute, type Node } from '../ir/graph.js';
import { formatType, sameShape } from '../ir/tensor.js';
import { broadcastTo } from './binary.js';
import type { OperatorDefinition } from './definition.js';
import { erf } from './erf.js';
import { define, operand, sameType, valueOf } from './operands.js';
import { elementwise, type Unary } from './unary.js';
import { broadcastShapes } from './walk.js';

type Scalar = (x: number) => number;

export const sigmoid: Scalar = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus: Scalar = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
/** x Phi(x) with the normal distribution function Phi. */
export const gelu: Scalar = (x) => 0.5 * x * (1 + erf(x / Math.SQRT2));
export const geluByTanh: Scalar = (x) =>
  0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

/** A function of the float attributes `defaults` names; ONNX states their defaults in float32. */
function withFloats<Name extends string>(
  defaults: Readonly<Record<Name, number>>,
  of: (values: Readonly<Record<Name, number>>) => Scalar,
): Unary {
  const withNode = (node: Node): Scalar => {
    const entries = Object.entries<number>(defaults);
    const values = entries.map(([name, value]) => [name, floatAttribute(node, name, Math.fround(value))]);
    return of(Object.fromEntries(values) as Record<Name, number>);
  };
  return { kind: 'float', of: { withNode } };
}

/** Functions of one tensor, element by element. */
const ACTIVATIONS: Readonly<Record<string, Unary>> = {
  Celu: withFloats(
    { alpha: 1 },
    ({ alpha }) =>
      (x) =>
        x > 0 ? x : alpha * Math.expm1(x / alpha),
  ),
  Elu: withFloats(
    { alpha: 1 },
    ({ alpha }) =>
      (x) =>
        x < 0 ? alpha * Math.expm1(x) : x,
  ),
  Gelu: {
    kind: 'float',
    of: {
      withNode: (node) => {
        const form = stringAttribute(node, 'approximate', 'none');
        if (form === 'none') return gelu;
        if (form === 'tanh') return geluByTanh;
        throw new ShapeError(node, `approximate is "${form}"; none or tanh would be accepted`);
      },
    },
  },
  HardSigmoid: withFloats(
    { alpha: 0.2, beta: 0.5 },
    ({ alpha, beta }) =>
      (x) =>
        Math.min(1, Math.max(0, alpha * x + beta)),
  ),
  HardSwish: { kind: 'float', of: (x) => x * Math.min(1, Math.max(0, x / 6 + 0.5)) },
  LeakyRelu: withFloats(
    { alpha: 0.01 },
    ({ alpha }) =>
      (x) =>
        x < 0 ? alpha * x : x,
  ),
  Mish: { kind: 'float', of: (x) => x * Math.tanh(softplus(x)) },
  Relu: { kind: 'number', of: (x) => (x < 0 ? 0 : x) },
  Selu: withFloats(
    { alpha: 1.67326319217681884765625, gamma: 1.05070102214813232421875 },
    ({ alpha, gamma }) =>
      (x) =>
        gamma * (x > 0 ? x : alpha * Math.expm1(x)),
  ),
  Shrink: withFloats({ bias: 0, lambd: 0.5 }, ({ bias, lambd }) => (x) => {
    if (x < -lambd) return x + bias;
    return x > lambd ? x - bias : 0;
  }),
  Sigmoid: { kind: 'float', of: sigmoid },
  Softplus: { kind: 'float', of: softplus },
  Softsign: { kind: 'float', of: (x) => x / (1 + Math.abs(x)) },
  Swish: withFloats(
    { alpha: 1 },
    ({ alpha }) =>
      (x) =>
        x * sigmoid(alpha * x),
  ),
  Tanh: { kind: 'float', of: Math.tanh },
  ThresholdedRelu: withFloats(
    { alpha: 1 },
    ({ alpha }) =>
      (x) =>
        x > alpha ? x : 0,
  ),
};

/** PRelu: x where it is not negative, else slope x; the slope broadcasts to x, never x to the slope. */
const pRelu = define(
  'PRelu',
  (node, inputs) => {
    const [x, slope] = [operand(node, inputs, 0, 'number'), operand(node, inputs, 1, 'number')];
    sameType(node, x, slope, 1);
    if (!sameShape(broadcastShapes(node, [x.shape, slope.shape]), x.shape)) {
      throw new ShapeError(
        node,
        `its slope is ${formatType(slope)}, which does not broadcast to X, ${formatType(x)}; one number, or one per channel as [C, 1, 1], would be accepted`,
      );
    }
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  (node, inputs, [type]) => {
    const slope = broadcastTo(operand(node, inputs, 1), type!.shape);
    const { data } = operand(node, inputs, 0);
    return [
      valueOf(
        type!,
        data.map((x, i) => (x < 0 ? slope[i]! * x : x)),
      ),
    ];
  },
);

export const activationOperators: readonly OperatorDefinition[] = [...elementwise(ACTIVATIONS), pRelu];
