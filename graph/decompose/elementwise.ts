import { attribute, floatAttribute } from '../ir/graph.js';
import type { NodeFormula } from '../formula/index.js';
import type { DecompositionTable } from './table.js';

/**
 * x times a hard sigmoid, whose ends belong to its slope here: -1/2 and 3/2 are what PyTorch has at -3 and 3.
 */
function hardSwish(d: NodeFormula): string {
  return d.mul(d.x, d.clip(d.add(d.mul(d.x, 1 / 6), 0.5), 0, 1));
}

/** alpha Elu(x / alpha), which for a negative alpha would exchange the two sides. */
function celu(d: NodeFormula): string {
  const alpha = floatAttribute(d.node, 'alpha', 1);
  const ratio = d.mul(d.x, 1 / alpha);
  if (alpha > 0) return d.mul(d.one('Elu', [ratio]), alpha);
  return d.where(d.greater(d.x, 0), d.x, d.mul(d.sub(d.exp(ratio), 1), alpha));
}

function selu(d: NodeFormula): string {
  const alpha = floatAttribute(d.node, 'alpha', 1.67326319217681884765625);
  const gamma = floatAttribute(d.node, 'gamma', 1.05070102214813232421875);
  return d.mul(d.one('Elu', [d.x], { alpha: attribute.float(alpha) }), gamma);
}

/** x - bias above lambd, x + bias below -lambd, 0 between; hardshrink has no bias. */
function shrink(d: NodeFormula): string {
  const bias = floatAttribute(d.node, 'bias', 0);
  const lambd = floatAttribute(d.node, 'lambd', 0.5);
  const low = d.where(d.less(d.x, -lambd), d.add(d.x, bias), 0);
  return d.where(d.greater(d.x, lambd), d.sub(d.x, bias), low);
}

function mean(d: NodeFormula): string {
  return d.mul(d.one('Sum', d.node.inputs), 1 / d.node.inputs.length);
}

/** x sigmoid(alpha x) */
export function swish(d: NodeFormula, alpha: number): string {
  return d.mul(d.x, d.sigmoid(d.mul(d.x, alpha)));
}

/** Functions of one tensor, and the mean of several, in simpler ones. */
export const elementwise: DecompositionTable = {
  Celu: (d) => [celu(d)],
  HardSwish: (d) => [hardSwish(d)],
  Mean: (d) => [mean(d)],
  Mish: (d) => [d.mul(d.x, d.tanh(d.unary('Softplus', d.x)))],
  Selu: (d) => [selu(d)],
  Shrink: (d) => [shrink(d)],
  Swish: (d) => [swish(d, floatAttribute(d.node, 'alpha', 1))],
  ThresholdedRelu: (d) => [d.where(d.greater(d.x, floatAttribute(d.node, 'alpha', 1)), d.x, 0)],
};
