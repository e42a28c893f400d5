import { floatAttribute, intAttribute } from '../../../../graph/index.js';
import type { KernelRule, KernelRules } from '../kernel.js';
import { broadcastStrides } from './elementwise.js';
import { transposed, type Addend, type Factor } from './factor.js';
import { productKernels } from './product-forms.js';

/** Vectors are a row on the left and a column on the right; leading axes are batches and broadcast. */
const matMul: KernelRule = (node, context) => {
  const [left, right] = node.inputs.map((name) => context.typeOf(name).shape) as [
    readonly number[],
    readonly number[],
  ];
  const a = left.length === 1 ? [1, ...left] : left;
  const b = right.length === 1 ? [...right, 1] : right;
  const output = node.outputs[0]!;
  const shape = context.typeOf(output).shape;
  const axes = shape.length - (left.length > 1 ? 1 : 0) - (right.length > 1 ? 1 : 0);
  const batch = shape.slice(0, axes);
  const factor = (value: string, matrix: readonly number[]): Factor => {
    const [row, column] = [matrix.at(-2)!, matrix.at(-1)!];
    const strides = broadcastStrides(matrix.slice(0, -2), batch).map((stride) => stride * row * column);
    return { value, row: column, column: 1, batch: strides };
  };
  const [m, k, n] = [a.at(-2)!, a.at(-1)!, b.at(-1)!];
  const factors = { a: factor(node.inputs[0]!, a), b: factor(node.inputs[1]!, b) };
  // one matrix for all batches of rows that lie one after the other: a taller matrix
  if (factors.b.batch.every((stride) => stride === 0) && a.length - 2 === axes && rowsFollow(a, batch)) {
    const rows = batch.reduce((product, dim) => product * dim, m);
    const tall = { a: { ...factors.a, batch: [] }, b: { ...factors.b, batch: [] } };
    return productKernels({ m: rows, k, n, batch: [], ...tall, alpha: 1, output }, context);
  }
  return productKernels({ m, k, n, batch, ...factors, alpha: 1, output }, context);
};

function rowsFollow(shape: readonly number[], batch: readonly number[]): boolean {
  return batch.every((dim, axis) => shape[axis] === dim);
}

const gemm: KernelRule = (node, context) => {
  const [a, b, c] = node.inputs as [string, string, string?];
  const output = node.outputs[0]!;
  const factor = (value: string, attribute: string): Factor => {
    const stored = { value, row: context.typeOf(value).shape[1]!, column: 1, batch: [] };
    return intAttribute(node, attribute, 0) === 0 ? stored : transposed(stored);
  };
  const shape = context.typeOf(output).shape as [number, number];
  const beta = floatAttribute(node, 'beta', 1);
  const k = context.typeOf(a).shape[intAttribute(node, 'transA', 0) === 0 ? 1 : 0]!;
  const addend = c === undefined || c === '' || beta === 0 ? undefined : addendOf(c, beta);
  function addendOf(value: string, scale: number): Addend {
    const [row, column] = broadcastStrides(context.typeOf(value).shape, shape) as [number, number];
    return { value, beta: scale, row, column };
  }
  return productKernels(
    {
      m: shape[0],
      k,
      n: shape[1],
      batch: [],
      a: factor(a, 'transA'),
      b: factor(b, 'transB'),
      alpha: floatAttribute(node, 'alpha', 1),
      ...(addend ? { addend } : {}),
      output,
    },
    context,
  );
};

export const productKernelRules: KernelRules = { MatMul: matMul, Gemm: gemm };
