export { identity, permutation } from './permutation.js';
export { Sampler, type Position, type SamplerOptions } from './sampler.js';
export { sharesOf, splitBatch, type Share } from './share.js';
