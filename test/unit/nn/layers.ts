import {
  avgPool2d,
  conv2d,
  dropout,
  elu,
  flatten,
  gelu,
  globalAvgPool2d,
  layerNorm,
  leakyRelu,
  linear,
  maxPool2d,
  mean,
  positions,
  relu,
  residual,
  selfAttention,
  sequential,
  sigmoid,
  silu,
  softmax,
  softplus,
  tanh,
  tensor,
  transformerBlock,
  type Layer,
} from '../../../graph/nn/index.js';

export const image = tensor(3, 12, 10);
export const sequence = tensor(5, 8);

/** Each layer, the input it is given, and the shape it must make of it (batch 2). */
export const layers: readonly (readonly [string, Layer, typeof image, readonly number[]])[] = [
  ['linear', linear(4), tensor(7), [2, 4]],
  ['linear on a sequence', linear(4, { bias: false }), sequence, [2, 5, 4]],
  ['conv2d', conv2d(4, 3, { stride: 2, padding: 1 }), image, [2, 4, 6, 5]],
  ['conv2d in groups', conv2d(6, [3, 1], { groups: 3, dilation: 2, bias: false }), image, [2, 6, 8, 10]],
  ['maxPool2d', maxPool2d(2), image, [2, 3, 6, 5]],
  ['maxPool2d, overlapping', maxPool2d(3, { stride: 2, padding: 1 }), image, [2, 3, 6, 5]],
  ['avgPool2d', avgPool2d(3, { stride: 1, padding: 1 }), image, [2, 3, 12, 10]],
  ['globalAvgPool2d', globalAvgPool2d(), image, [2, 3]],
  ['flatten', flatten(), image, [2, 360]],
  ['mean', mean(1), sequence, [2, 8]],
  ['layerNorm', layerNorm(), sequence, [2, 5, 8]],
  ['positions', positions(), sequence, [2, 5, 8]],
  ['selfAttention', selfAttention({ heads: 2 }), sequence, [2, 5, 8]],
  ['selfAttention, both ways', selfAttention({ heads: 4, causal: false, dropout: 0.2 }), sequence, [2, 5, 8]],
  ['transformerBlock', transformerBlock({ heads: 2, dropout: 0.1 }), sequence, [2, 5, 8]],
  ['residual', residual(sequential(linear(8), gelu())), sequence, [2, 5, 8]],
  ...Object.entries({ relu, gelu, tanh, sigmoid, silu, softplus, leakyRelu, elu, softmax, dropout }).map(
    ([name, make]) => [name, make(), sequence, [2, 5, 8]] as const,
  ),
];
