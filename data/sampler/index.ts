export { identity, permutation } from './permutation.js';
export { Sampler, type Position, type SamplerOptions } from './sampler.js';
export { batchSizes, leastShare, sharesOf, splitBatch, type Share } from './share.js';
