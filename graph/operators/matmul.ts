import { ShapeError } from '../errors.js';
import { floatAttribute, intAttribute, type Node } from '../ir/graph.js';
import { formatType, sizeOf, stridesOf, type TensorType } from '../ir/tensor.js';
import { broadcastTo } from './binary.js';
import type { OperatorDefinition } from './definition.js';
import { define, operand, ranked, sameType, valueOf } from './operands.js';
import { broadcastShapes, broadcastStrides, offsetsOf } from './walk.js';

/** C += A B over buffers: A is m x k, B is k x n, C is m x n, each with its own strides. */
function accumulate(
  [m, k, n]: readonly [number, number, number],
  a: { readonly data: Float64Array; readonly start: number; readonly row: number; readonly column: number },
  b: { readonly data: Float64Array; readonly start: number; readonly row: number; readonly column: number },
  c: { readonly data: Float64Array; readonly start: number },
): void {
  for (let i = 0; i < m; i++) {
    for (let p = 0; p < k; p++) {
      const x = a.data[a.start + i * a.row + p * a.column]!;
      const from = b.start + p * b.row;
      const to = c.start + i * n;
      for (let j = 0; j < n; j++) c.data[to + j]! += x * b.data[from + j * b.column]!;
    }
  }
}

/** The operands of MatMul with a vector made a row (left) or a column (right), as NumPy does. */
function matrices(
  node: Node,
  a: TensorType,
  b: TensorType,
): { left: readonly number[]; right: readonly number[] } {
  const left = a.shape.length === 1 ? [1, ...a.shape] : a.shape;
  const right = b.shape.length === 1 ? [...b.shape, 1] : b.shape;
  if (left.length < 2 || right.length < 2 || left.at(-1) !== right.at(-2)) {
    throw new ShapeError(
      node,
      `cannot multiply ${formatType(a)} by ${formatType(b)}: the inner lengths differ`,
    );
  }
  return { left, right };
}

export const matMul = define(
  'MatMul',
  (node, inputs) => {
    const [a, b] = [operand(node, inputs, 0, 'number'), operand(node, inputs, 1, 'number')];
    sameType(node, a, b, 1);
    const { left, right } = matrices(node, a, b);
    const shape = broadcastShapes(node, [left.slice(0, -2), right.slice(0, -2)]);
    if (a.shape.length > 1) shape.push(left.at(-2)!);
    if (b.shape.length > 1) shape.push(right.at(-1)!);
    return [{ dtype: a.dtype, shape }];
  },
  (node, inputs, [type]) => {
    const [a, b] = [operand(node, inputs, 0), operand(node, inputs, 1)];
    const { left, right } = matrices(node, a, b);
    const [m, k, n] = [left.at(-2)!, left.at(-1)!, right.at(-1)!];
    const batch = broadcastShapes(node, [left.slice(0, -2), right.slice(0, -2)]);
    const startsOf = (shape: readonly number[]): Int32Array => {
      const matrix = shape.at(-1)! * shape.at(-2)!;
      const strides = broadcastStrides(shape.slice(0, -2), batch).map((stride) => stride * matrix);
      return offsetsOf(batch, strides);
    };
    const result = valueOf(type!);
    const rightStarts = startsOf(right);
    startsOf(left).forEach((start, i) => {
      accumulate(
        [m, k, n],
        { data: a.data, start, row: k, column: 1 },
        { data: b.data, start: rightStarts[i]!, row: n, column: 1 },
        { data: result.data, start: i * m * n },
      );
    });
    return [result];
  },
);

/** The lengths of Gemm: Y = alpha A' B' + beta C, with A' and B' transposed where asked. */
function gemmLengths(node: Node, a: TensorType, b: TensorType): readonly [number, number, number] {
  ranked(node, a, 2, 'A');
  ranked(node, b, 2, 'B');
  const [m, k] = intAttribute(node, 'transA', 0) ? [a.shape[1]!, a.shape[0]!] : [a.shape[0]!, a.shape[1]!];
  const [inner, n] = intAttribute(node, 'transB', 0)
    ? [b.shape[1]!, b.shape[0]!]
    : [b.shape[0]!, b.shape[1]!];
  if (k !== inner) {
    throw new ShapeError(
      node,
      `cannot multiply ${formatType(a)} by ${formatType(b)}: the inner lengths are ${k} and ${inner}`,
    );
  }
  return [m, k, n];
}

const gemm = define(
  'Gemm',
  (node, inputs) => {
    const [a, b] = [operand(node, inputs, 0, 'number'), operand(node, inputs, 1, 'number')];
    sameType(node, a, b, 1);
    const [m, , n] = gemmLengths(node, a, b);
    const c = inputs[2];
    if (c) {
      sameType(node, a, c, 2);
      const shape = broadcastShapes(node, [c.shape, [m, n]]);
      if (shape.length !== 2 || shape[0] !== m || shape[1] !== n) {
        throw new ShapeError(node, `C is ${formatType(c)}, which does not broadcast to [${m}, ${n}]`);
      }
    }
    return [{ dtype: a.dtype, shape: [m, n] }];
  },
  (node, inputs, [type]) => {
    const [a, b] = [operand(node, inputs, 0), operand(node, inputs, 1)];
    const lengths = gemmLengths(node, a, b);
    const walk = (value: typeof a, transposed: boolean): Parameters<typeof accumulate>[1] => {
      const [row, column] = stridesOf(value.shape);
      return {
        data: value.data,
        start: 0,
        row: transposed ? column! : row!,
        column: transposed ? row! : column!,
      };
    };
    const product = new Float64Array(sizeOf(type!.shape));
    const transA = intAttribute(node, 'transA', 0) !== 0;
    const transB = intAttribute(node, 'transB', 0) !== 0;
    accumulate(lengths, walk(a, transA), walk(b, transB), { data: product, start: 0 });
    const alpha = floatAttribute(node, 'alpha', 1);
    const beta = floatAttribute(node, 'beta', 1);
    const bias = inputs[2] && broadcastTo(inputs[2], type!.shape);
    return [
      valueOf(
        type!,
        product.map((x, i) => alpha * x + (bias ? beta * bias[i]! : 0)),
      ),
    ];
  },
);

export const matmulOperators: readonly OperatorDefinition[] = [matMul, gemm];
