import { openWebgpu } from '../adapters/index.js';
import { EngineUnavailableError } from '../errors.js';

/** The WebGPU device that gpu.js made for this thread. */
export interface Native {
  readonly index: number;
  readonly name: string;
  readonly bindingBytes: number;
  readonly gpu: object;
  lost: string | undefined;
  destroy(): void;
}

let opened: Native | undefined;

/** gpu.js has one device a thread: whoever comes second must want the same one. */
export async function openNative(index: number): Promise<Native> {
  if (opened && opened.lost === undefined) {
    if (opened.index === index) return opened;
    throw new EngineUnavailableError(
      `engine gpujs has webgpu:${opened.index} open in this process; webgpu:${index} needs a process of its own`,
      { ids: { device: `webgpu:${index}` } },
    );
  }
  const { gpu, adapter } = await openWebgpu(index);
  let device: GPUDevice | undefined;
  const native: Native = {
    index,
    name: adapter.name,
    bindingBytes: Math.min(adapter.maxBindingBytes, adapter.maxBufferBytes),
    gpu: {
      requestAdapter: async () => {
        const found = await gpu.requestAdapter({ powerPreference: 'high-performance' });
        if (!found) return null;
        return {
          limits: found.limits,
          features: found.features,
          info: found.info,
          requestDevice: async (descriptor: GPUDeviceDescriptor) => {
            const made = await found.requestDevice(descriptor);
            device = made;
            void made.lost.then(({ reason, message }) => {
              native.lost ??= `${message || 'no reason given'} (${reason})`;
            });
            return made;
          },
        };
      },
    },
    lost: undefined,
    destroy: () => device?.destroy(),
  };
  opened = native;
  return native;
}

/** What gpu.js looks at: its WebGPU, and how many threads there are. */
export function pretendNavigator(native: Native | undefined, threads: number): void {
  const gpu = native?.gpu ?? opened?.gpu;
  const value = { ...(gpu && { gpu }), hardwareConcurrency: threads };
  Object.defineProperty(globalThis, 'navigator', { value, configurable: true, writable: true });
}
