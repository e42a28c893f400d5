import { intAttribute, type Node } from '../ir/graph.js';
import type { OperatorDefinition } from './definition.js';
import { erf } from './erf.js';
import { keeperOf } from './integers.js';
import { define, operand, valueOf, type Kind } from './operands.js';

type Scalar = (x: number) => number;

/** An operator of one tensor, element by element: y = f(x). */
export interface Unary {
  readonly kind: Kind;
  /** Bool results are 0 or 1. Absent: the input's element type. */
  readonly gives?: 'bool';
  readonly of: Scalar | { readonly withNode: (node: Node) => Scalar };
}

/** Mathematics and logic; functions that networks use as activations are in activation.ts. */
const UNARY: Readonly<Record<string, Unary>> = {
  Abs: { kind: 'number', of: Math.abs },
  Acos: { kind: 'float', of: Math.acos },
  Acosh: { kind: 'float', of: Math.acosh },
  Asin: { kind: 'float', of: Math.asin },
  Asinh: { kind: 'float', of: Math.asinh },
  Atan: { kind: 'float', of: Math.atan },
  Atanh: { kind: 'float', of: Math.atanh },
  // two's complement: also of an unsigned number, once it is wrapped to its width
  BitwiseNot: { kind: 'integer', of: (x) => -1 - x },
  Ceil: { kind: 'float', of: Math.ceil },
  Cos: { kind: 'float', of: Math.cos },
  Cosh: { kind: 'float', of: Math.cosh },
  Erf: { kind: 'number', of: erf },
  Exp: { kind: 'float', of: Math.exp },
  Floor: { kind: 'float', of: Math.floor },
  IsInf: { kind: 'float', gives: 'bool', of: { withNode: isInfinite } },
  IsNaN: { kind: 'float', gives: 'bool', of: (x) => (Number.isNaN(x) ? 1 : 0) },
  Log: { kind: 'float', of: Math.log },
  Neg: { kind: 'number', of: (x) => -x },
  Not: { kind: 'bool', of: (x) => 1 - x },
  Reciprocal: { kind: 'float', of: (x) => 1 / x },
  Round: { kind: 'float', of: roundToEven },
  Sign: { kind: 'number', of: Math.sign },
  Sin: { kind: 'float', of: Math.sin },
  Sinh: { kind: 'float', of: Math.sinh },
  Sqrt: { kind: 'float', of: Math.sqrt },
  Tan: { kind: 'float', of: Math.tan },
};

/** To the nearest integer, halves to the even one. */
function roundToEven(x: number): number {
  return Math.abs(x - Math.trunc(x)) === 0.5 ? 2 * Math.round(x / 2) : Math.round(x);
}

/** Either infinity, or only one of them. */
function isInfinite(node: Node): Scalar {
  const negative = intAttribute(node, 'detect_negative', 1) === 1;
  const positive = intAttribute(node, 'detect_positive', 1) === 1;
  return (x) => ((positive && x === Infinity) || (negative && x === -Infinity) ? 1 : 0);
}

/** Definitions from a table of functions. */
export function elementwise(table: Readonly<Record<string, Unary>>, domain = ''): OperatorDefinition[] {
  return Object.entries(table).map(([operator, { kind, gives, of }]) =>
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
      domain,
    ),
  );
}

export const unaryOperators: readonly OperatorDefinition[] = elementwise(UNARY);
