export * from './errors.js';
export * from './ir/graph.js';
export * from './ir/tensor.js';
export { GraphBuilder } from './ir/builder.js';
