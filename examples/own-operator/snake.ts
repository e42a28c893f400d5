// An operator of our own: x + sin(alpha x)^2 / alpha, which learns waves; alpha is a parameter, one for each feature.
// (Ziyin, Hartwig and Ueda, "Neural networks fail to learn periodic functions and how to fix it", 2020.)
import { defineOperator } from 'dtrain/nn';

export default defineOperator({
  domain: 'my.ops',
  name: 'Snake',
  inputs: ['x', 'alpha'],
  output: 'x',
  // One cell of the output. Arrays are flat and row-major: the last axis of x, which alpha goes along, runs fastest.
  forward: function (x, alpha) {
    const i = this.thread.x;
    const a = alpha[i % this.constants.alpha_size]!;
    const wave = Math.sin(a * x[i]!);
    return x[i]! + (wave * wave) / a;
  },
  gradient: {
    x: function (dy, x, alpha) {
      const i = this.thread.x;
      const a = alpha[i % this.constants.alpha_size]!;
      return dy[i]! * (1 + Math.sin(2 * a * x[i]!));
    },
    // What each cell of the output adds to the gradient of its alpha; the sum over the samples is dtrain's.
    alpha: {
      reduce: 'sum',
      kernel: function (dy, x, alpha) {
        const i = this.thread.x;
        const a = alpha[i % this.constants.alpha_size]!;
        const wave = Math.sin(a * x[i]!);
        return dy[i]! * ((x[i]! * Math.sin(2 * a * x[i]!)) / a - (wave * wave) / (a * a));
      },
    },
  },
  // Where the gradient is checked by finite differences: alpha is never 0.
  ranges: { alpha: [0.5, 2] },
});
