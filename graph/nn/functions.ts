import { attribute } from '../ir/graph.js';
import { scalar } from '../ir/tensor.js';
import { LayerError } from './errors.js';
import { fn, type Layer } from './layer.js';

/** max(x, 0) */
export const relu = (): Layer => fn((x) => x.unary('Relu'));

/** x times the normal distribution function at x. */
export const gelu = (): Layer => fn((x) => x.unary('Gelu'));

export const tanh = (): Layer => fn((x) => x.unary('Tanh'));

export const sigmoid = (): Layer => fn((x) => x.unary('Sigmoid'));

/** x sigmoid(x) */
export const silu = (): Layer => fn((x) => x.times(x.unary('Sigmoid')));

export const softplus = (): Layer => fn((x) => x.unary('Softplus'));

/** x, or `slope` times x below 0. */
export const leakyRelu = (slope = 0.01): Layer =>
  fn((x) => x.unary('LeakyRelu', { alpha: attribute.float(slope) }));

export const elu = (alpha = 1): Layer => fn((x) => x.unary('Elu', { alpha: attribute.float(alpha) }));

/** Softmax along the last axis. */
export const softmax = (): Layer => fn((x) => x.softmax());

/** In training, drops each element with probability `ratio` and scales the rest by 1 / (1 - ratio). */
export function dropout(ratio = 0.5): Layer {
  if (!(ratio >= 0 && ratio < 1))
    throw new LayerError('dropout', `the ratio is ${ratio}; it must be at least 0 and below 1`);
  return fn((x) => {
    if (ratio === 0) return x;
    const probability = x.tape.constant(x.at, scalar('float32', ratio));
    return x.derive('Dropout', [x.name, probability], {}, x.shape);
  });
}

/** All axes but the first as one: [batch, ...] to [batch, features]. */
export const flatten = (): Layer =>
  fn((x) => {
    const features = x.lengthsAfterFirst('flatten').reduce((product, length) => product * length, 1);
    return x.derive('Flatten', [x.name], { axis: attribute.int(1) }, [x.shape[0]!, features]);
  });

/** The mean over one axis, which goes away: `mean(1)` makes [batch, length, width] to [batch, width]. */
export function mean(axis: number): Layer {
  return fn((x) => {
    const at = axis < 0 ? axis + x.rank : axis;
    if (!Number.isInteger(at) || at < 1 || at >= x.rank) {
      throw new LayerError('mean', `${x.describe()} has no axis ${axis} to average over (the first stays)`);
    }
    const shape = x.shape.filter((_, i) => i !== at);
    const axes = x.tape.constant(x.at, { dtype: 'int64', shape: [1], data: BigInt64Array.of(BigInt(at)) });
    return x.derive('ReduceMean', [x.name, axes], { keepdims: attribute.int(0) }, shape);
  });
}
