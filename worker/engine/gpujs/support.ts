import type { TypedGraph } from '../../../graph/index.js';
import { OWN_OPERATORS, type DeviceKind } from '../../../scheduler/index.js';
import type { Fallback } from '../port.js';
import type { Backend } from './kernel.js';
import { operatorsWithKernels } from './kernels/index.js';
import { refusalsOf } from './plan.js';

/** What gpu.js is on each kind of device. */
export const BACKENDS: Readonly<Partial<Record<DeviceKind, Backend>>> = {
  cpu: 'javascript',
  wasm: 'wasm',
  webgpu: 'webgpu',
  webgl: 'webgl',
};

/** Operators that need no kernel: they are other names for their input, or known from shapes. */
const FREE = ['Flatten', 'Identity', 'Reshape', 'Shape', 'Size', 'Squeeze', 'Unsqueeze'];

/** The operators that this engine has on a device: users' own among them, which it compiles from their definitions. */
export function operatorsOf(kind: DeviceKind): readonly string[] {
  return BACKENDS[kind] === undefined ? [] : [...operatorsWithKernels, ...FREE, OWN_OPERATORS].sort();
}

/** The nodes of `graph` that this engine cannot run, each with the reason; nothing is loaded for this. */
export function unsupportedNodes(graph: TypedGraph, device: DeviceKind): readonly Fallback[] {
  const backend = BACKENDS[device];
  if (backend !== undefined) return refusalsOf(graph, backend);
  const reason = `gpujs does not run on ${device}`;
  return graph.nodes.map(({ name, operator }) => ({ node: name, operator, reason }));
}
