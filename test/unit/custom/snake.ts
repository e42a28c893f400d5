import { defineOperator } from '../../../graph/index.js';

/** x + sin(alpha x)^2 / alpha with an alpha for each feature, and two attributes that change nothing by default. */
export const snake = defineOperator({
  domain: 'my.ops',
  name: 'Snake',
  inputs: ['x', 'alpha'],
  attributes: { scale: 1, shift: 0 },
  forward: function (x, alpha) {
    const i = this.thread.x;
    const a = alpha[i % this.constants.alpha_size]!;
    const wave = Math.sin(a * x[i]!);
    return this.constants.scale * (x[i]! + (wave * wave) / a) + this.constants.shift;
  },
  gradient: {
    x: function (dy, x, alpha) {
      const i = this.thread.x;
      const a = alpha[i % this.constants.alpha_size]!;
      return this.constants.scale * dy[i]! * (1 + Math.sin(2 * a * x[i]!));
    },
    alpha: {
      reduce: 'sum',
      kernel: function (dy, x, alpha) {
        const i = this.thread.x;
        const a = alpha[i % this.constants.alpha_size]!;
        const wave = Math.sin(a * x[i]!);
        return (
          this.constants.scale * dy[i]! * ((x[i]! * Math.sin(2 * a * x[i]!)) / a - (wave * wave) / (a * a))
        );
      },
    },
  },
  ranges: { alpha: [0.5, 2] },
});

/** The sum of each row, and its gradient by a kernel of its own: not element by element, loops. */
export const rowSum = defineOperator({
  domain: 'my.ops',
  name: 'RowSum',
  inputs: ['x'],
  output: ['x.0', 1],
  forward: function (x) {
    let sum = 0;
    for (let j = 0; j < this.constants.x_1; j++) {
      sum += x[this.thread.x * this.constants.x_1 + j]!;
    }
    return sum;
  },
  gradient: {
    x: function (dy) {
      return dy[Math.floor(this.thread.x / this.constants.x_1)]!;
    },
  },
});
