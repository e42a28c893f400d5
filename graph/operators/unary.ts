import { ShapeError } from '../errors.js';
import { floatAttribute, stringAttribute, type Node } from '../ir/graph.js';
import type { OperatorDefinition } from './definition.js';
import { erf } from './erf.js';
import { keeperOf } from './integers.js';
import { define, operand, valueOf, type Kind } from './operands.js';

type Scalar = (x: number) => number;

interface Unary {
  readonly kind: Kind;
  /** Bool results are 0 or 1. Absent: the input's element type. */
  readonly gives?: 'bool';
  readonly of: Scalar | { readonly withNode: (node: Node) => Scalar };
}

const sigmoid: Scalar = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
const softplus: Scalar = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));

/** Operators of one tensor, element by element: y = f(x). */
const UNARY: Readonly<Record<string, Unary>> = {
  Abs: { kind: 'number', of: Math.abs },
  Ceil: { kind: 'float', of: Math.ceil },
  Cos: { kind: 'float', of: Math.cos },
  Elu: {
    kind: 'float',
    of: {
      withNode: (node) => {
        const alpha = floatAttribute(node, 'alpha', 1);
        return (x) => (x < 0 ? alpha * Math.expm1(x) : x);
      },
    },
  },
  Erf: { kind: 'number', of: erf },
  Exp: { kind: 'float', of: Math.exp },
  Floor: { kind: 'float', of: Math.floor },
  Gelu: { kind: 'float', of: { withNode: gelu } },
  HardSigmoid: {
    kind: 'float',
    of: {
      withNode: (node) => {
        const alpha = floatAttribute(node, 'alpha', Math.fround(0.2));
        const beta = floatAttribute(node, 'beta', 0.5);
        return (x) => Math.min(1, Math.max(0, alpha * x + beta));
      },
    },
  },
  HardSwish: { kind: 'float', of: (x) => x * Math.min(1, Math.max(0, x / 6 + 0.5)) },
  IsNaN: { kind: 'float', gives: 'bool', of: (x) => (Number.isNaN(x) ? 1 : 0) },
  LeakyRelu: {
    kind: 'float',
    of: {
      withNode: (node) => {
        const alpha = floatAttribute(node, 'alpha', Math.fround(0.01));
        return (x) => (x < 0 ? alpha * x : x);
      },
    },
  },
  Log: { kind: 'float', of: Math.log },
  Neg: { kind: 'number', of: (x) => -x },
  Not: { kind: 'bool', of: (x) => 1 - x },
  Reciprocal: { kind: 'float', of: (x) => 1 / x },
  Relu: { kind: 'number', of: (x) => (x < 0 ? 0 : x) },
  Sigmoid: { kind: 'float', of: sigmoid },
  Sign: { kind: 'number', of: Math.sign },
  Sin: { kind: 'float', of: Math.sin },
  Softplus: { kind: 'float', of: softplus },
  Sqrt: { kind: 'float', of: Math.sqrt },
  Tanh: { kind: 'float', of: Math.tanh },
};

function gelu(node: Node): Scalar {
  const form = stringAttribute(node, 'approximate', 'none');
  if (form === 'none') return (x) => 0.5 * x * (1 + erf(x / Math.SQRT2));
  if (form === 'tanh')
    return (x) => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
  throw new ShapeError(node, `approximate is "${form}"; none or tanh would be accepted`);
}

export const unaryOperators: readonly OperatorDefinition[] = Object.entries(UNARY).map(
  ([operator, { kind, gives, of }]) =>
    define(
      operator,
      (node, inputs) => {
        const { dtype, shape } = operand(node, inputs, 0, kind);
        return [{ dtype: gives ?? dtype, shape }];
      },
      (node, inputs, [type]) => {
        const f = typeof of === 'function' ? of : of.withNode(node);
        const keep = keeperOf(type!.dtype);
        return [
          valueOf(
            type!,
            operand(node, inputs, 0).data.map((x) => keep(f(x))),
          ),
        ];
      },
    ),
);
