export { WeightsError } from './errors.js';
export { checkWeights, loadWeights, type Loaded } from './load.js';
export { matchWeights, type Match, type MatchRules } from './match.js';
export { mergeSafetensors } from './merge.js';
export { readSafetensors, safetensorsChunks, writeSafetensors, type Weights } from './safetensors.js';
