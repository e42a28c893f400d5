/** An activation of a recurrent operator with its two numbers; what it does not take is 0. */
export interface Activation {
  readonly name: string;
  readonly alpha: number;
  readonly beta: number;
}

interface Entry {
  readonly name: string;
  /** The default, where the function takes one. */
  readonly alpha?: number;
  readonly beta?: number;
  readonly of: (x: number, alpha: number, beta: number) => number;
}

const entries: readonly Entry[] = [
  { name: 'Relu', of: (x) => Math.max(0, x) },
  { name: 'Tanh', of: Math.tanh },
  { name: 'Sigmoid', of: (x) => 1 / (1 + Math.exp(-x)) },
  { name: 'Affine', alpha: 1, beta: 0, of: (x, alpha, beta) => alpha * x + beta },
  { name: 'LeakyRelu', alpha: Math.fround(0.01), of: (x, alpha) => (x < 0 ? alpha * x : x) },
  { name: 'ThresholdedRelu', alpha: 1, of: (x, alpha) => (x > alpha ? x : 0) },
  { name: 'ScaledTanh', alpha: 1, beta: 1, of: (x, alpha, beta) => alpha * Math.tanh(beta * x) },
  {
    name: 'HardSigmoid',
    alpha: Math.fround(0.2),
    beta: 0.5,
    of: (x, alpha, beta) => Math.min(Math.max(alpha * x + beta, 0), 1),
  },
  { name: 'Elu', alpha: 1, of: (x, alpha) => (x < 0 ? alpha * Math.expm1(x) : x) },
  { name: 'Softsign', of: (x) => x / (1 + Math.abs(x)) },
  { name: 'Softplus', of: (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x))) },
];

/** The activations that recurrent operators may name, by name in lower case (exporters differ in case). */
export const ACTIVATIONS: ReadonlyMap<string, Entry> = new Map(
  entries.map((entry) => [entry.name.toLowerCase(), entry]),
);

/** The activation as a function of one number. */
export function activationOf({ name, alpha, beta }: Activation): (x: number) => number {
  const { of } = ACTIVATIONS.get(name.toLowerCase())!;
  return (x) => of(x, alpha, beta);
}
