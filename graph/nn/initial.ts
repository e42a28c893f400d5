import type { Random } from '../../base/index.js';

/** Fills a parameter with its first values. */
export type Initializer = (data: Float32Array, random: Random) => void;

export const zeros: Initializer = (data) => data.fill(0);

export const ones: Initializer = (data) => data.fill(1);

/** Normal with mean 0. */
export const normal =
  (deviation: number): Initializer =>
  (data, random) => {
    for (let i = 0; i < data.length; i++) data[i] = deviation * random.normal();
  };

/** Uniform in [-bound, bound). */
export const uniform =
  (bound: number): Initializer =>
  (data, random) => {
    for (let i = 0; i < data.length; i++) data[i] = bound * (2 * random.uniform() - 1);
  };

/**
 * PyTorch's default for the weights and biases of Linear and Conv2d: uniform within 1 / sqrt(fanIn).
 * @param fanIn inputs that one output sums over
 */
export const fanInUniform = (fanIn: number): Initializer => uniform(1 / Math.sqrt(Math.max(1, fanIn)));
