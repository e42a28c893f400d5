import { availableParallelism, cpus } from 'node:os';
import type { Bytes } from '../../base/index.js';
import { hasOwnMemory, type DeviceKind } from '../../scheduler/index.js';
import type { WebgpuAdapter } from '../engine/adapters/index.js';
import { noSuchAdapter } from '../engine/adapters/index.js';
import { DeviceSpecError } from '../errors.js';
import type { Inventory, NvidiaGpu } from './inventory.js';

/** What a device is, apart from what it is used for. */
export interface Hardware {
  /** For people. */
  readonly description: string;
  /** Whether its values lie in memory of its own. */
  readonly ownMemory: boolean;
  /** Of its own; undefined where nobody tells. */
  readonly totalBytes: Bytes | undefined;
  /** Whether it computes on the host's cores, in the host's memory. */
  readonly software: boolean;
  /** The largest single value that it takes; undefined where any. */
  readonly maxBufferBytes: Bytes | undefined;
  /** Names the piece of hardware that one worker alone may use; undefined where it may be shared. */
  readonly exclusive: string | undefined;
}

/**
 * The hardware of `KIND:INDEX` on this host.
 * @throws DeviceSpecError, EngineUnavailableError naming the devices that there are
 */
export function hardwareOf(kind: DeviceKind, index: number, inventory: Inventory): Hardware {
  switch (kind) {
    case 'cpu':
    case 'wasm':
      return hostHardware(kind);
    case 'webgpu':
      return adapterHardware(index, inventory);
    case 'cuda':
      return cudaHardware(index, inventory);
    case 'webgl': {
      if (index > 0) throw new DeviceSpecError(`webgl:${index}`, 'there is one webgl device, webgl:0');
      const unknown = { totalBytes: undefined, software: false, maxBufferBytes: undefined };
      return { description: 'headless WebGL', ownMemory: true, ...unknown, exclusive: 'webgl-0' };
    }
  }
}

function hostHardware(kind: DeviceKind): Hardware {
  const model = cpus()[0]?.model.trim() ?? process.arch;
  const cores = availableParallelism();
  const description =
    kind === 'wasm' ? `WebAssembly on ${model}` : `${model}, ${cores} core${cores === 1 ? '' : 's'}`;
  return {
    description,
    ownMemory: hasOwnMemory(kind),
    totalBytes: undefined,
    software: false,
    maxBufferBytes: undefined,
    exclusive: undefined,
  };
}

function adapterHardware(index: number, { webgpu, webgpuProblem, nvidia }: Inventory): Hardware {
  const adapter = webgpu.adapters[index];
  if (!adapter) {
    if (webgpuProblem !== undefined) throw new DeviceSpecError(`webgpu:${index}`, webgpuProblem);
    throw noSuchAdapter(index, webgpu.adapters);
  }
  const gpu = adapter.software ? undefined : nvidia.find(({ name }) => adapter.name.includes(name));
  const software = adapter.software ? ', software: it computes on the CPU' : '';
  return {
    description: `${adapter.name} through ${BACKENDS[adapter.backend] ?? adapter.backend}${software}`,
    ownMemory: true,
    totalBytes: gpu?.memoryBytes,
    software: adapter.software,
    maxBufferBytes: Math.min(adapter.maxBindingBytes, adapter.maxBufferBytes),
    exclusive: adapter.software ? undefined : ((gpu && nvidiaLock(gpu)) ?? adapterLock(adapter)),
  };
}

const BACKENDS: Readonly<Record<string, string>> = {
  vulkan: 'Vulkan',
  metal: 'Metal',
  d3d12: 'Direct3D 12',
  d3d11: 'Direct3D 11',
  opengl: 'OpenGL',
  opengles: 'OpenGL ES',
};

function cudaHardware(index: number, { nvidia }: Inventory): Hardware {
  const gpu = nvidia[index];
  if (!gpu) {
    const known = nvidia.map((each) => `cuda:${each.index} (${each.name})`).join(', ');
    throw new DeviceSpecError(
      `cuda:${index}`,
      nvidia.length === 0
        ? 'there is no NVIDIA GPU here, or no driver: nvidia-smi lists none'
        : `there is no such device; there are ${known}`,
    );
  }
  return {
    description: `${gpu.name} through CUDA`,
    ownMemory: true,
    totalBytes: gpu.memoryBytes,
    software: false,
    maxBufferBytes: undefined,
    exclusive: nvidiaLock(gpu),
  };
}

function nvidiaLock({ uuid }: NvidiaGpu): string {
  return `nvidia-${uuid}`;
}

function adapterLock({ vendor, name }: WebgpuAdapter): string {
  return `gpu-${vendor}-${name}`;
}
