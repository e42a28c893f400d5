import type { DeviceKind } from '../../scheduler/index.js';

/** Which engines run on which kind of device, the default first. */
export const ENGINES_OF: Readonly<Record<DeviceKind, readonly [string, ...string[]]>> = {
  cpu: ['onnxruntime', 'gpujs', 'reference'],
  webgpu: ['onnxruntime', 'gpujs'],
  cuda: ['onnxruntime'],
  webgl: ['gpujs'],
  wasm: ['gpujs'],
};

/** The engines worth listing: one that is there to check others by is not. */
export function listedEngines(kind: DeviceKind): readonly string[] {
  return ENGINES_OF[kind].filter((engine) => engine !== 'reference');
}
