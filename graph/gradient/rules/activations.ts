import { floatAttribute, intAttribute, stringAttribute } from '../../ir/graph.js';
import { normalizeAxis } from '../../ir/tensor.js';
import type { GradientContext, RuleTable } from '../context.js';
import { whereBetween, wherePositive } from './step.js';

/** A rule of the form dx = dy * slope(x, y), for functions of one input. */
const scaled = (slope: (g: GradientContext) => string) => (g: GradientContext) => [g.mul(g.dy, slope(g))];

/**
 * y = x P(x) with the normal distribution function P: y' = P + x P' = (1 + erf(a) + 2 a exp(-a^2) / sqrt(pi)) / 2
 * with a = x / sqrt(2). The half goes to dy, where a product before it takes it up for nothing; dividing by
 * exp(a^2), which may overflow to infinity, saves changing a sign.
 */
function gelu(g: GradientContext): string[] {
  const a = g.mul(g.x, Math.SQRT1_2);
  const bump = g.mul(g.div(a, g.exp(g.mul(a, a))), 2 / Math.sqrt(Math.PI));
  return [g.mul(g.mul(g.dy, 0.5), g.add(g.add(g.unary('Erf', a), 1), bump))];
}

/** y = x/2 (1 + t), t = tanh(u), u = c (x + k x^3); y' = (1 + t)/2 + x/2 (1 - t^2) c (1 + 3 k x^2) */
function geluByTanh(g: GradientContext): string[] {
  const c = Math.sqrt(2 / Math.PI);
  const square = g.mul(g.x, g.x);
  const t = g.tanh(g.mul(g.x, g.add(g.mul(square, c * 0.044715), c)));
  const inner = g.mul(g.x, g.add(g.mul(square, 3 * c * 0.044715), c));
  return [g.mul(g.mul(g.dy, 0.5), g.add(g.add(t, 1), g.mul(g.sub(1, g.mul(t, t)), inner)))];
}

/** Softmax along one axis: dx = y (dy - sum(dy y)). */
function softmax(g: GradientContext): string[] {
  const axis = normalizeAxis(intAttribute(g.node, 'axis', -1), g.rankOf(g.x));
  const weighted = g.mul(g.dy, g.y);
  return [g.sub(weighted, g.mul(g.y, g.sum(weighted, [axis])))];
}

function logSoftmax(g: GradientContext): string[] {
  const axis = normalizeAxis(intAttribute(g.node, 'axis', -1), g.rankOf(g.x));
  return [g.sub(g.dy, g.mul(g.exp(g.y), g.sum(g.dy, [axis])))];
}

/**
 * dx = dy (1 or slope), dslope = dy min(x, 0) summed over where the slope was repeated; the forward pass computes
 * that minimum too (see `lowerPRelu`).
 */
function pRelu(g: GradientContext): (string | undefined)[] {
  const slope = g.input(1);
  return [
    g.needs(0) ? g.mul(g.dy, g.where(g.greater(g.x, 0), 1, slope)) : undefined,
    g.needs(1) ? g.reduceTo(g.mul(g.dy, g.clip(g.x, undefined, 0)), g.shapeOf(slope)) : undefined,
  ];
}

/** y = x / (1 + |x|): dx = dy / (1 + |x|)^2 */
function softsign(g: GradientContext): string[] {
  const size = g.add(g.abs(g.x), 1);
  return [g.div(g.dy, g.mul(size, size))];
}

/** At a kink the slope is PyTorch's: that of the side where the function is constant or smaller. */
export const activationRules: RuleTable = {
  HardSigmoid: scaled((g) => whereBetween(g, g.y, 1, floatAttribute(g.node, 'alpha', Math.fround(0.2)))),
  Relu: scaled((g) => wherePositive(g, g.y)),
  LeakyRelu: scaled((g) => g.where(g.greater(g.x, 0), g.number(1), floatAttribute(g.node, 'alpha', 0.01))),
  Elu: scaled((g) => g.where(g.greater(g.x, 0), 1, g.add(g.y, floatAttribute(g.node, 'alpha', 1)))),
  PRelu: pRelu,
  Sigmoid: scaled((g) => g.mul(g.y, g.sub(1, g.y))),
  Tanh: scaled((g) => g.sub(1, g.mul(g.y, g.y))),
  Softsign: softsign,
  Softplus: scaled((g) => g.sigmoid(g.x)),
  Gelu: (g) => (stringAttribute(g.node, 'approximate', 'none') === 'none' ? gelu(g) : geluByTanh(g)),
  Softmax: softmax,
  LogSoftmax: logSoftmax,
};
