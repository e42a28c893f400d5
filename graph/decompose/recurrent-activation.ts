import { attribute } from '../ir/graph.js';
import type { Formula } from '../formula/index.js';
import type { Activation } from '../operators/recurrent-activation.js';

type Write = (f: Formula, x: string, alpha: number, beta: number) => string;

const WRITTEN: Readonly<Record<string, Write>> = {
  Affine: (f, x, alpha, beta) => f.add(f.mul(x, alpha), beta),
  LeakyRelu: (f, x, alpha) => f.one('LeakyRelu', [x], { alpha: attribute.float(alpha) }),
  ThresholdedRelu: (f, x, alpha) => f.where(f.greater(x, alpha), x, 0),
  ScaledTanh: (f, x, alpha, beta) => f.mul(f.tanh(f.mul(x, beta)), alpha),
  HardSigmoid: (f, x, alpha, beta) => f.clip(f.add(f.mul(x, alpha), beta), 0, 1),
  Softsign: (f, x) => f.div(x, f.add(f.abs(x), 1)),
  Elu: (f, x, alpha) => f.one('Elu', [x], { alpha: attribute.float(alpha) }),
};

/** An activation of a recurrent operator, written out; the others are operators of their own name. */
export function writeActivation(f: Formula, { name, alpha, beta }: Activation, x: string): string {
  return WRITTEN[name]?.(f, x, alpha, beta) ?? f.unary(name, x);
}
