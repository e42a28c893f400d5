/**
 * dtrain/nn: build models in TypeScript. Layers compose into a model whose default export a job trains.
 */
export {
  selfAttention,
  transformerBlock,
  type AttentionOptions,
  type TransformerBlockOptions,
} from './attention.js';
export {
  avgPool2d,
  conv2d,
  globalAvgPool2d,
  maxPool2d,
  type Conv2dOptions,
  type Pair,
  type PoolOptions,
} from './convolution.js';
export { custom } from './custom.js';
export { embedding, layerNorm, linear, positions, type LinearOptions } from './dense.js';
export { eager, type Eager, type EagerOptions, type Nested } from './eager.js';
export { LayerError, NotAModelError, NoValueError } from './errors.js';
export {
  dropout,
  elu,
  flatten,
  gelu,
  leakyRelu,
  mean,
  relu,
  sigmoid,
  silu,
  softmax,
  softplus,
  tanh,
} from './functions.js';
export { gpt, type GptOptions } from './gpt.js';
export { fanInUniform, normal, ones, uniform, zeros, type Initializer } from './initial.js';
export { fn, module, residual, sequential, type Applied, type Layer } from './layer.js';
export {
  define,
  ids,
  isModel,
  model,
  tensor,
  toGraph,
  type Definition,
  type FunctionModel,
  type InputType,
  type LayerModel,
  type Model,
} from './model.js';
export {
  checkOperator,
  defineOperator,
  KernelError,
  OperatorError,
  type KernelThis,
  type Operator,
  type OperatorOptions,
} from '../custom/index.js';
export type { Scope } from './scope.js';
export type { Value } from './value.js';
