import { floatAttribute, intAttribute, stringAttribute } from '../../ir/graph.js';
import { normalizeAxis } from '../../ir/tensor.js';
import type { GradientContext, RuleTable } from '../context.js';

/** A rule of the form dx = dy * slope(x, y), for functions of one input. */
const scaled = (slope: (g: GradientContext) => string) => (g: GradientContext) => [g.mul(g.dy, slope(g))];

/** The standard normal density at x. */
function normalDensity(g: GradientContext, x: string): string {
  return g.mul(g.exp(g.mul(g.mul(x, x), -0.5)), 1 / Math.sqrt(2 * Math.PI));
}

/** The standard normal distribution function at x. */
function normalDistribution(g: GradientContext, x: string): string {
  return g.add(g.mul(g.unary('Erf', g.mul(x, Math.SQRT1_2)), 0.5), 0.5);
}

function geluSlope(g: GradientContext): string {
  const { x } = g;
  if (stringAttribute(g.node, 'approximate', 'none') === 'none') {
    return g.add(normalDistribution(g, x), g.mul(x, normalDensity(g, x)));
  }
  // y = x/2 (1 + t), t = tanh(u), u = c (x + k x^3); y' = (1 + t)/2 + x/2 (1 - t^2) c (1 + 3 k x^2)
  const c = Math.sqrt(2 / Math.PI);
  const square = g.mul(x, x);
  const t = g.tanh(g.mul(x, g.add(g.mul(square, c * 0.044715), c)));
  const inner = g.mul(x, g.add(g.mul(square, 1.5 * c * 0.044715), 0.5 * c));
  return g.add(g.mul(g.add(t, 1), 0.5), g.mul(g.sub(1, g.mul(t, t)), inner));
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

/** At a kink the slope is PyTorch's: that of the side where the function is constant or smaller. */
export const activationRules: RuleTable = {
  // y is 0 or above, so its sign is the slope: 0 at x = 0
  Relu: scaled((g) => g.sign(g.y)),
  LeakyRelu: scaled((g) => g.where(g.greater(g.x, 0), g.number(1), floatAttribute(g.node, 'alpha', 0.01))),
  Elu: scaled((g) => g.where(g.greater(g.x, 0), 1, g.add(g.y, floatAttribute(g.node, 'alpha', 1)))),
  Sigmoid: scaled((g) => g.mul(g.y, g.sub(1, g.y))),
  Tanh: scaled((g) => g.sub(1, g.mul(g.y, g.y))),
  Softplus: scaled((g) => g.sigmoid(g.x)),
  Gelu: scaled(geluSlope),
  Softmax: softmax,
  LogSoftmax: logSoftmax,
};
