import { adamScalars, type UpdateRule } from './rule.js';
import type { StepScalars } from './optimizer.js';

/** Float32 arrays give the kernels' results bit for bit; float64 arrays the exact ones to compare with. */
type Values = Float32Array | Float64Array;

/**
 * One update in plain TypeScript, in place: what the kernels of `assembly/` must compute.
 *
 * @param state one array for each of `stateNames(rule)`, all of the parameters' type and length
 */
export function updateReference(
  rule: UpdateRule,
  parameters: Values,
  gradients: Values,
  state: readonly Values[],
  { learningRate, step, gradientScale }: StepScalars,
): void {
  const round = parameters instanceof Float32Array ? Math.fround : (value: number) => value;
  const scale = round(gradientScale);
  if (rule.kind === 'sgd') {
    const [lr, momentum, decay] = [round(learningRate), round(rule.momentum), round(rule.weightDecay)];
    const velocity = state[0];
    for (let i = 0; i < parameters.length; i++) {
      const p = parameters[i]!;
      let g = round(round(gradients[i]! * scale) + round(decay * p));
      if (velocity) {
        const v = round(round(momentum * velocity[i]!) + g);
        velocity[i] = v;
        g = rule.nesterov ? round(g + round(momentum * v)) : v;
      }
      parameters[i] = p - round(lr * g);
    }
    return;
  }
  const scalars = adamScalars(rule, learningRate, step);
  const [stepSize, correction, l2, keep] = [
    round(scalars.stepSize),
    round(scalars.correction),
    round(scalars.l2),
    round(scalars.keep),
  ];
  const [b1, b2, c1, c2] = [
    round(rule.beta1),
    round(rule.beta2),
    round(1 - rule.beta1),
    round(1 - rule.beta2),
  ];
  const eps = round(rule.eps);
  const [mean, variance] = state as readonly [Values, Values];
  for (let i = 0; i < parameters.length; i++) {
    const q = round(parameters[i]! * keep);
    const g = round(round(gradients[i]! * scale) + round(l2 * q));
    const m = round(round(b1 * mean[i]!) + round(c1 * g));
    const v = round(round(b2 * variance[i]!) + round(c2 * round(g * g)));
    mean[i] = m;
    variance[i] = v;
    const denominator = round(round(round(Math.sqrt(v)) / correction) + eps);
    parameters[i] = q - round(stepSize * round(m / denominator));
  }
}

/** The sum of squares in float64, in the kernel's order of addition. */
export function sumOfSquaresReference(values: Values): number {
  const lanes = [0, 0, 0, 0];
  const vectors = values.length - (values.length % 4);
  for (let i = 0; i < vectors; i++) lanes[i % 4]! += values[i]! ** 2;
  let sum = lanes[0]! + lanes[2]! + (lanes[1]! + lanes[3]!);
  for (let i = vectors; i < values.length; i++) sum += values[i]! ** 2;
  return sum;
}
