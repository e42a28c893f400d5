export { WeightsError } from './errors.js';
export { readSafetensors, safetensorsChunks, writeSafetensors, type Weights } from './safetensors.js';
