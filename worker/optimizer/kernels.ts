import { readFileSync } from 'node:fs';

/** The exports of `assembly/kernels.ts`; addresses and counts are bytes and elements in the bound memory. */
export interface Kernels {
  sgd(
    parameter: number,
    gradient: number,
    velocity: number,
    elements: number,
    lr: number,
    momentum: number,
    weightDecay: number,
    nesterov: boolean,
    scale: number,
  ): void;
  adam(
    parameter: number,
    gradient: number,
    mean: number,
    variance: number,
    elements: number,
    stepSize: number,
    beta1: number,
    beta2: number,
    correction: number,
    eps: number,
    weightDecay: number,
    keep: number,
    scale: number,
  ): void;
  sumOfSquares(values: number, elements: number): number;
}

/**
 * Binds the kernels to a memory, the one that holds the parameters, gradients and state: nothing is copied.
 *
 * The kernels own no memory themselves (no stack, no static data), so every byte of it is the caller's.
 * @param memory declared with a maximum of at most 65536 pages (4 GiB), not shared
 */
export function loadKernels(memory: WebAssembly.Memory): Kernels {
  const module = new WebAssembly.Module(readFileSync(new URL('./kernels.wasm', import.meta.url)));
  return new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Kernels;
}
