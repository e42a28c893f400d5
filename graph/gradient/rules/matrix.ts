import { floatAttribute, intAttribute } from '../../ir/graph.js';
import { sizeOf } from '../../ir/tensor.js';
import type { GradientContext, RuleTable } from '../context.js';

/**
 * Y = A B in every form of numpy.matmul: dA = dY B', dB = A' dY, summed over broadcast batch axes.
 * Where B is one matrix (a layer's weight), all of A's rows go through one matrix product.
 */
function matMul(g: GradientContext): (string | undefined)[] {
  const shapeA = g.shapeOf(g.input(0));
  const shapeB = g.shapeOf(g.input(1));
  // a vector is a matrix with one row (left) or one column (right)
  const fullA = shapeA.length === 1 ? [1, ...shapeA] : shapeA;
  const fullB = shapeB.length === 1 ? [...shapeB, 1] : shapeB;
  const inner = fullA.at(-1)!;
  const columns = fullB.at(-1)!;
  const a = g.reshape(g.input(0), fullA);
  const b = g.reshape(g.input(1), fullB);
  if (fullB.length === 2) {
    const rows = sizeOf(fullA) / Math.max(inner, 1);
    const dy = g.reshape(g.dy, [rows, columns]);
    return [
      g.needs(0) ? g.reshape(g.gemm(dy, b, { transB: true }), shapeA) : undefined,
      g.needs(1) ? g.reshape(g.gemm(g.reshape(a, [rows, inner]), dy, { transA: true }), shapeB) : undefined,
    ];
  }
  const batch = g.shapeOf(g.y).slice(0, g.rankOf(g.y) - (shapeA.length === 1 ? 1 : 2));
  const dy = g.reshape(g.dy, [...batch, fullA.at(-2)!, columns]);
  return [
    g.needs(0) ? g.reshape(g.reduceTo(g.matmul(dy, g.transposeLast(b)), fullA), shapeA) : undefined,
    g.needs(1) ? g.reshape(g.reduceTo(g.matmul(g.transposeLast(a), dy), fullB), shapeB) : undefined,
  ];
}

/** Y = alpha op(A) op(B) + beta C. */
function gemm(g: GradientContext): (string | undefined)[] {
  const a = g.input(0);
  const b = g.input(1);
  const { dy, node } = g;
  const transA = intAttribute(node, 'transA', 0) !== 0;
  const transB = intAttribute(node, 'transB', 0) !== 0;
  const alpha = floatAttribute(node, 'alpha', 1);
  const beta = floatAttribute(node, 'beta', 1);
  const dA = () =>
    transA
      ? g.gemm(b, dy, { transA: transB, transB: true, alpha })
      : g.gemm(dy, b, { transB: !transB, alpha });
  const dB = () =>
    transB
      ? g.gemm(dy, a, { transA: true, transB: transA, alpha })
      : g.gemm(a, dy, { transA: !transA, alpha });
  return [
    g.needs(0) ? dA() : undefined,
    g.needs(1) ? dB() : undefined,
    g.hasInput(2) && g.needs(2) ? g.mul(g.reduceTo(dy, g.shapeOf(g.input(2))), beta) : undefined,
  ];
}

export const matrixRules: RuleTable = { MatMul: matMul, Gemm: gemm };
