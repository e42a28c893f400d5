import { readFileSync } from 'node:fs';
import { InvariantError } from '../../base/index.js';
import type { Kernels } from './kernels.js';

const NAMES: readonly (keyof Kernels)[] = [
  'add',
  'scale',
  'sumOfSquares',
  'packFloat16',
  'roundFloat16',
  'unpackFloat16',
  'addFloat16',
  'packBfloat16',
  'roundBfloat16',
  'unpackBfloat16',
  'addBfloat16',
  'checksum',
];

let compiled: WebAssembly.Module | undefined;

/** The SIMD kernels, working on `memory`. Compiled once in a process, then instantiated for each memory. */
export function wasmKernels(memory: WebAssembly.Memory): Kernels {
  compiled ??= new WebAssembly.Module(readFileSync(new URL('./reduction.wasm', import.meta.url)));
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } });
  for (const name of NAMES) {
    if (typeof exports[name] !== 'function') throw new InvariantError(`reduction.wasm exports no ${name}`);
  }
  return exports as unknown as Kernels;
}
