import { intAttribute, stringAttribute, type Node } from '../ir/graph.js';
import { isFloat, type DataType } from '../ir/tensor.js';
import { ShapeError } from '../errors.js';
import type { OperatorDefinition, Reference } from './definition.js';
import { keeperOf, productOf } from './integers.js';
import { define, operand, sameType, valueOf, type Kind } from './operands.js';
import { broadcastShapes, broadcastStrides, offsetsOf } from './walk.js';

type Scalar = (a: number, b: number) => number;

interface Binary {
  readonly kind: Kind;
  readonly gives?: 'bool';
  /** Min, Max, Sum and Mean take one or more operands, folded from the left. */
  readonly variadic?: true;
  /** What becomes of a variadic fold over `count` operands. */
  readonly finish?: (sum: number, count: number) => number;
  /** Pow's exponent may have another element type; the result has the base's. */
  readonly mixed?: true;
  readonly of: (node: Node, dtype: DataType) => Scalar;
}

const truth = (test: (a: number, b: number) => boolean) => (): Scalar => (a, b) => (test(a, b) ? 1 : 0);
const number = (of: Scalar) => (): Scalar => of;

/** Operators of broadcast operands, element by element: z = f(x, y). */
const BINARY: Readonly<Record<string, Binary>> = {
  Add: { kind: 'number', of: number((a, b) => a + b) },
  And: { kind: 'bool', of: number((a, b) => a & b) },
  BitShift: { kind: 'integer', of: shift },
  BitwiseAnd: { kind: 'integer', of: bits((a, b) => a & b) },
  BitwiseOr: { kind: 'integer', of: bits((a, b) => a | b) },
  BitwiseXor: { kind: 'integer', of: bits((a, b) => a ^ b) },
  Div: { kind: 'number', of: (node, dtype) => (isFloat(dtype) ? (a, b) => a / b : integerDivision(node)) },
  Equal: { kind: 'any', gives: 'bool', of: truth((a, b) => a === b) },
  Greater: { kind: 'number', gives: 'bool', of: truth((a, b) => a > b) },
  GreaterOrEqual: { kind: 'number', gives: 'bool', of: truth((a, b) => a >= b) },
  Less: { kind: 'number', gives: 'bool', of: truth((a, b) => a < b) },
  LessOrEqual: { kind: 'number', gives: 'bool', of: truth((a, b) => a <= b) },
  Max: { kind: 'number', variadic: true, of: number(Math.max) },
  Mean: {
    kind: 'float',
    variadic: true,
    of: number((a, b) => a + b),
    finish: (sum, count) => sum / count,
  },
  Min: { kind: 'number', variadic: true, of: number(Math.min) },
  Mod: { kind: 'number', of: modulo },
  Mul: {
    kind: 'number',
    of: (_, dtype) => (isFloat(dtype) ? (a, b) => a * b : (a, b) => productOf(dtype, a, b)),
  },
  Or: { kind: 'bool', of: number((a, b) => a | b) },
  Pow: { kind: 'number', mixed: true, of: number((a, b) => a ** b) },
  Sub: { kind: 'number', of: number((a, b) => a - b) },
  Sum: { kind: 'float', variadic: true, of: number((a, b) => a + b) },
  Xor: { kind: 'bool', of: number((a, b) => a ^ b) },
};

/** All bits of both operands, which float64 holds as integers of up to 53. */
function bits(of: (a: bigint, b: bigint) => bigint): Binary['of'] {
  return number((a, b) => Number(of(BigInt(a), BigInt(b))));
}

/** BitShift: bits that leave the element type's width are lost. */
function shift(node: Node, dtype: DataType): Scalar {
  const direction = stringAttribute(node, 'direction', '');
  if (direction === 'LEFT') return (a, b) => productOf(dtype, a, 2 ** b);
  if (direction === 'RIGHT') return (a, b) => Math.floor(a / 2 ** b);
  throw new ShapeError(node, `direction is "${direction}"; LEFT or RIGHT would be accepted`);
}

/** C's integer division: towards zero. */
function integerDivision(node: Node): Scalar {
  return (a, b) => {
    if (b === 0) throw new ShapeError(node, 'divides an integer by zero');
    return Math.trunc(a / b);
  };
}

/** fmod = 1 takes the dividend's sign (C's fmod); fmod = 0, integers only, takes the divisor's (Python's %). */
function modulo(node: Node, dtype: DataType): Scalar {
  if (intAttribute(node, 'fmod', 0) === 1) return (a, b) => a % b;
  if (isFloat(dtype))
    throw new ShapeError(node, 'fmod is 0 and its inputs are floats; ONNX requires fmod = 1');
  return (a, b) => {
    if (b === 0) throw new ShapeError(node, 'takes an integer modulo zero');
    const rest = a % b;
    return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest;
  };
}

export const binaryOperators: readonly OperatorDefinition[] = Object.entries(BINARY).map(
  ([operator, entry]) =>
    define(
      operator,
      (node, inputs) => {
        const first = operand(node, inputs, 0, entry.kind);
        const count = entry.variadic ? inputs.length : 2;
        const operands = Array.from({ length: count }, (_, i) => operand(node, inputs, i, entry.kind));
        if (!entry.mixed) operands.forEach((each, i) => sameType(node, first, each, i));
        const shape = broadcastShapes(
          node,
          operands.map((each) => each.shape),
        );
        return [{ dtype: entry.gives ?? first.dtype, shape }];
      },
      (node, inputs, [type]) => {
        const first = operand(node, inputs, 0);
        const f = entry.of(node, first.dtype);
        const keep = keeperOf(type!.dtype);
        let data = broadcastTo(first, type!.shape);
        for (let k = 1; k < inputs.length; k++) {
          const other = broadcastTo(operand(node, inputs, k), type!.shape);
          data = data.map((a, i) => keep(f(a, other[i]!)));
        }
        const { finish } = entry;
        return [valueOf(type!, finish ? data.map((sum) => finish(sum, inputs.length)) : data)];
      },
    ),
);

/** Where: one of two operands, chosen element by element. */
const where = define(
  'Where',
  (node, inputs) => {
    const condition = operand(node, inputs, 0, 'bool');
    const [yes, no] = [operand(node, inputs, 1), operand(node, inputs, 2)];
    if (yes.dtype !== no.dtype) {
      throw new ShapeError(node, `chooses between ${yes.dtype} and ${no.dtype}; both need one element type`);
    }
    return [{ dtype: yes.dtype, shape: broadcastShapes(node, [condition.shape, yes.shape, no.shape]) }];
  },
  (node, inputs, [type]) => {
    const [condition, yes, no] = [0, 1, 2].map((i) => broadcastTo(operand(node, inputs, i), type!.shape));
    return [
      valueOf(
        type!,
        condition!.map((c, i) => (c !== 0 ? yes![i]! : no![i]!)),
      ),
    ];
  },
);

export const chooseOperators: readonly OperatorDefinition[] = [where];

/** The elements of a value repeated to a larger shape. */
export function broadcastTo(value: Reference, shape: readonly number[]): Float64Array {
  const offsets = offsetsOf(shape, broadcastStrides(value.shape, shape));
  return Float64Array.from(offsets, (offset) => value.data[offset]!);
}
