/**
 * Cases with attention that Adam trains. A bias of the keys shifts all scores of a row alike, so that its gradient is
 * zero: what is computed is rounding, 1e-9 beside gradients of 0.1, and no two programs agree in it. Adam divides it
 * by its own size, which moves these parameters by up to the learning rate a step, either way. Measured on
 * onnxruntime and gpujs: all of the error is in those elements; the others are within 4e-8.
 */
const KEY_BIASES: ReadonlySet<string> = new Set(['gpt', 'gpt-opset17', 'gpt-tied', 'vit']);

/** How far five optimizer steps may end from PyTorch's: 3e-4 was seen of `vit` in WebAssembly, 1e-6 of the others. */
export const trajectoryBound = (name: string): number => (KEY_BIASES.has(name) ? 5e-4 : 5e-6);
