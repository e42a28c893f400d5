import { attribute, floatAttribute } from '../ir/graph.js';
import type { NodeFormula } from '../formula/index.js';
import { fusedPermutation } from '../operators/microsoft.js';
import { swish } from './elementwise.js';
import type { DecompositionTable } from './table.js';

/** The first operand plus the optional ones among the others. */
function sumOf(d: NodeFormula, ...others: readonly number[]): string {
  return others.filter((i) => d.hasInput(i)).reduce((sum, i) => d.add(sum, d.input(i)), d.x);
}

/** Inputs: input, skip, gamma, beta, bias; outputs: result, mean, inverse deviation, sum. */
function skipLayerNormalization(d: NodeFormula): string[] {
  const sum = sumOf(d, 1, 4);
  const attributes = {
    axis: attribute.int(-1),
    epsilon: attribute.float(floatAttribute(d.node, 'epsilon', 1e-12)),
  };
  const inputs = [sum, d.input(2), ...(d.hasInput(3) ? [d.input(3)] : [])];
  const statistics = d.hasOutput(1) || d.hasOutput(2);
  const [y, mean = '', inverse = ''] = d.builder.add('LayerNormalization', inputs, attributes, {
    outputs: statistics ? 3 : 1,
  });
  return [y!, mean, inverse, sum];
}

/** Inputs: input, skip, gamma, bias; outputs: result, zeros in the mean's place, inverse root, sum. */
function skipSimplifiedLayerNormalization(d: NodeFormula): string[] {
  const sum = sumOf(d, 1, 3);
  const shape = d.shapeOf(sum);
  const attributes = {
    axis: attribute.int(-1),
    epsilon: attribute.float(floatAttribute(d.node, 'epsilon', 1e-12)),
  };
  const [y, inverse = ''] = d.builder.add('SimplifiedLayerNormalization', [sum, d.input(2)], attributes, {
    outputs: d.hasOutput(2) ? 2 : 1,
  });
  const none = d.hasOutput(1) ? d.zeros({ dtype: 'float32', shape: shape.with(-1, 1) }) : '';
  return [y!, none, inverse, sum];
}

function fusedMatMul(d: NodeFormula): string {
  const [a, b] = (['A', 'B'] as const).map((which, i) =>
    d.transpose(d.input(i), fusedPermutation(d.node, which, d.rankOf(d.input(i)))),
  );
  return d.mul(d.matmul(a!, b!), floatAttribute(d.node, 'alpha', 1));
}

/** The operators that onnxruntime adds to ONNX, in those of ONNX. */
export const microsoft: DecompositionTable = {
  BiasGelu: (d) => [d.one('Gelu', [sumOf(d, 1)])],
  FastGelu: (d) => [d.one('Gelu', [sumOf(d, 1)], { approximate: attribute.string('tanh') })],
  FusedMatMul: (d) => [fusedMatMul(d)],
  Gelu: (d) => [d.one('Gelu', [d.x])],
  QuickGelu: (d) => [swish(d, floatAttribute(d.node, 'alpha', Math.fround(1.702)))],
  SkipLayerNormalization: skipLayerNormalization,
  SkipSimplifiedLayerNormalization: skipSimplifiedLayerNormalization,
};
