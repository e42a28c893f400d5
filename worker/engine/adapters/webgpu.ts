import type * as Dawn from 'webgpu';
import type { Bytes } from '../../../base/index.js';
import { EngineUnavailableError } from '../errors.js';

/** A GPU that this process reaches by WebGPU, or a driver that computes on the CPU as if it were one. */
export interface WebgpuAdapter {
  /** `webgpu:INDEX`; 0 is the one that the system prefers for computing. */
  readonly index: number;
  /** `NVIDIA H200`, `SwiftShader Device (Subzero)`. */
  readonly name: string;
  /** `vulkan`, `metal`, `d3d12`. */
  readonly backend: string;
  readonly vendor: string;
  readonly architecture: string;
  readonly driver: string;
  /** Whether it computes on the CPU: SwiftShader, llvmpipe. */
  readonly software: boolean;
  /** The largest buffer that a kernel may be given. */
  readonly maxBindingBytes: Bytes;
  readonly maxBufferBytes: Bytes;
  readonly maxWorkgroups: number;
}

/** Adapters of one host, and those that are there and cannot be used. */
export interface WebgpuAdapters {
  readonly adapters: readonly WebgpuAdapter[];
  /** Names of further ones with why they are not among them. */
  readonly unusable: readonly { readonly name: string; readonly reason: string }[];
}

/** As dawn.node lists one. */
interface Listed {
  readonly backend: string;
  readonly name: string;
}

/** Backends that show the same GPUs once more; each is used where there is no better one. */
const LESSER_BACKENDS = ['opengl', 'opengles', 'd3d11'];
const NEVER = ['null', 'webgpu'];
const SOFTWARE = /swiftshader|llvmpipe|lavapipe|softpipe|basic render/i;

/**
 * The adapters of this host, the preferred one first, as `webgpu` (dawn.node) reaches them.
 *
 * Drivers are loaded into this process, and a broken one can hang or abort it: whoever only wants to know asks in a
 * process of its own.
 * @throws EngineUnavailableError where the package has no binary for this platform
 */
export async function webgpuAdapters(): Promise<WebgpuAdapters> {
  const { create } = await webgpuPackage();
  const preferred = await adapterOf(create([]));
  if (!preferred) return { adapters: [], unusable: [] };
  const listed = usable(await listing(create));
  const names = new Map<string, Listed>();
  const unusable: { name: string; reason: string }[] = [];
  for (const each of listed) {
    if (names.has(each.name)) {
      const reason =
        'another GPU has the same name, and WebGPU tells GPUs apart by their names alone; start a worker that sees ' +
        'this one only (Linux with Mesa: VK_LOADER_DEVICE_SELECT)';
      unusable.push({ name: each.name, reason });
    } else names.set(each.name, each);
  }
  const described: Omit<WebgpuAdapter, 'index'>[] = [];
  for (const each of names.values()) {
    const adapter = await adapterOf(create(flagsOf(each)));
    if (adapter) described.push(describe(each, adapter));
    else unusable.push({ name: each.name, reason: 'it is listed, but gives no adapter' });
  }
  const first = described.findIndex((each) => isSame(each, preferred));
  const ordered = first > 0 ? [described[first]!, ...described.filter((_, i) => i !== first)] : described;
  return { adapters: ordered.map((each, index) => ({ index, ...each })), unusable };
}

/**
 * `navigator.gpu` with one adapter alone, and the classes of WebGPU; kept by whoever asks as long as it is used.
 * @throws EngineUnavailableError naming the adapters that there are
 */
export async function openWebgpu(
  index: number,
): Promise<{ readonly gpu: GPU; readonly globals: object; readonly adapter: WebgpuAdapter }> {
  const { create, globals } = await webgpuPackage();
  const { adapters } = await webgpuAdapters();
  const adapter = adapters[index];
  if (!adapter) throw noSuchAdapter(index, adapters);
  return { gpu: create(flagsOf(adapter)), globals, adapter };
}

/** Why there is no `webgpu:INDEX`, with those that there are. */
export function noSuchAdapter(index: number, adapters: readonly WebgpuAdapter[]): EngineUnavailableError {
  const device = `webgpu:${index}`;
  const known = adapters.map((each) => `webgpu:${each.index} (${each.name})`).join(', ');
  return new EngineUnavailableError(
    adapters.length === 0
      ? `there is no device "${device}": no GPU driver answers to WebGPU here (Linux: a Vulkan driver and libvulkan1)`
      : `there is no device "${device}"; there are ${known}`,
    { ids: { device } },
  );
}

/** Options of `create` that leave one adapter. */
function flagsOf({ backend, name }: Listed): string[] {
  return [`backend=${backend}`, `adapter=${name}`];
}

/** A name that no adapter has makes dawn.node list all; the older way, `verbose`, goes to stdout. */
async function listing(create: typeof Dawn.create): Promise<readonly Listed[]> {
  try {
    await create(['adapter=\u0001 none has this name']).requestAdapter();
    return [];
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return [...text.matchAll(/backend: '([^']*)', name: '(.*)'/g)].map(([, backend = '', name = '']) => ({
      backend,
      name,
    }));
  }
}

function usable(listed: readonly Listed[]): readonly Listed[] {
  const real = listed.filter(({ backend }) => !NEVER.includes(backend));
  const best = real.filter(({ backend }) => !LESSER_BACKENDS.includes(backend));
  return best.length > 0 ? best : real;
}

async function adapterOf(gpu: GPU): Promise<GPUAdapter | undefined> {
  return (await gpu.requestAdapter({ powerPreference: 'high-performance' })) ?? undefined;
}

function isSame({ vendor, driver, name }: Omit<WebgpuAdapter, 'index'>, { info }: GPUAdapter): boolean {
  return info.vendor === vendor && info.description === driver && sanitized(info.device) === sanitized(name);
}

/** WebGPU gives names in small letters with dashes. */
function sanitized(name: string): string {
  return name.toLowerCase().replace(/[^a-z0-9]+/g, '');
}

function describe({ backend, name }: Listed, { info, limits }: GPUAdapter): Omit<WebgpuAdapter, 'index'> {
  return {
    name,
    backend,
    vendor: info.vendor,
    architecture: info.architecture,
    driver: info.description,
    software: info.isFallbackAdapter || SOFTWARE.test(`${name} ${info.description}`),
    maxBindingBytes: limits.maxStorageBufferBindingSize,
    maxBufferBytes: limits.maxBufferSize,
    maxWorkgroups: limits.maxComputeWorkgroupsPerDimension,
  };
}

async function webgpuPackage(): Promise<typeof Dawn> {
  try {
    return await import('webgpu');
  } catch (cause) {
    throw new EngineUnavailableError(
      `WebGPU has no library for ${process.platform} ${process.arch} (package webgpu): ${messageOf(cause)}`,
      { cause },
    );
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
