import { availableParallelism } from 'node:os';
import type { GPU as GpuJs, IKernelRunShortcut, IPipelineRunShortcut, Input as GpuJsInput } from 'gpu.js';
import { openWebgpu } from '../adapters/index.js';
import { EngineUnavailableError } from '../errors.js';
import { complaints, hearComplaints } from './complaints.js';
import { DegradedError } from './errors.js';
import { copyRows, flattened } from './flatten.js';
import type { Backend, Kernel } from './kernel.js';
import { sampled } from './values.js';

/** gpu.js's name for a backend, and the executors that a pipeline on it may have. */
const MODES = {
  webgpu: { mode: 'webgpu', reports: 'webgpu', executors: ['fused-encoder'] },
  webgl: { mode: 'headlessgl', reports: 'gpu', executors: ['generic'] },
  wasm: { mode: 'webasm', reports: 'webasm', executors: ['fused-sync', 'fused-threaded'] },
  javascript: { mode: 'cpu', reports: 'cpu', executors: ['generic'] },
} as const;

/** Kernels over values by name. */
export interface Chain {
  readonly kernels: readonly Kernel[];
  readonly inputs: readonly string[];
  readonly constants: ReadonlyMap<string, Float32Array>;
  readonly outputs: readonly string[];
  readonly sizes: ReadonlyMap<string, number>;
}

/** A chain that was compiled into one pipeline. */
export interface CompiledChain {
  /** As gpu.js reports it: `fused-sync`, `fused-encoder`. */
  readonly executor: string;
  /** Runs all kernels; outputs are written in place. Inputs must not change meanwhile. */
  run(inputs: readonly Float32Array[], outputs: readonly Float32Array[]): Promise<void>;
  dispose(): Promise<void>;
}

/** A pipeline has been compiled when it first reads its arguments: these refuse, with this. */
const COMPILED = new DegradedError('its arguments were read');

/** gpu.js on one device. Nothing else in the project imports it. */
export class Library {
  private readonly chains = new Set<IPipelineRunShortcut>();

  private constructor(
    readonly backend: Backend,
    /** For people. */
    readonly device: string,
    /** Buffers that a kernel may read and write, and the largest of them, where the device says. */
    readonly limits: { readonly bindingBytes: number } | undefined,
    private readonly gpu: GpuJs,
    private readonly Input: typeof GpuJsInput,
    private readonly threads: number,
    private readonly native: Native | undefined,
  ) {}

  /**
   * @throws EngineUnavailableError for a device that is not here, saying what would make it be
   */
  static async open(backend: Backend, index: number, threads = availableParallelism()): Promise<Library> {
    hearComplaints();
    let native: Native | undefined;
    let device = backend === 'javascript' ? 'cpu, plain JavaScript' : backend;
    if (backend === 'webgpu') {
      native = await openNative(index);
      device = `webgpu:${index}, ${native.name}`;
    }
    if (backend === 'wasm') device = `wasm, ${threads} thread${threads === 1 ? '' : 's'}`;
    pretendNavigator(native, threads);
    // it looks for WebGPU while it loads
    const { GPU, Input } = await import('gpu.js');
    if (backend === 'webgl' && !GPU.isHeadlessGLSupported) {
      throw new EngineUnavailableError(
        'engine gpujs has no device "webgl:0" here: package gl was not built, or finds no display. On Debian: ' +
          'apt-get install build-essential python3 pkg-config libxi-dev libgl1-mesa-dev libglew-dev xvfb, then ' +
          '"npm rebuild gl --ignore-scripts=false", and run under xvfb-run',
        { ids: { device: 'webgl:0' } },
      );
    }
    const gpu = new GPU({ mode: MODES[backend].mode as 'cpu' });
    const limits = native && { bindingBytes: native.bindingBytes };
    return new Library(backend, device, limits, gpu, Input, threads, native);
  }

  /** Why the device is gone, once it is. */
  get lost(): string | undefined {
    return this.native?.lost;
  }

  /** Why the device is gone, where that is told within a moment. */
  async whyLost(): Promise<string | undefined> {
    if (this.native && this.native.lost === undefined)
      await new Promise((resolve) => setTimeout(resolve, 50));
    return this.native?.lost;
  }

  /** Destroys the device under the programs, as a driver that fails does; for tests. */
  loseDevice(): void {
    this.native?.destroy();
  }

  /**
   * @throws Error with gpu.js's message where it does not compile a kernel, or would run it on something else
   */
  async compile(chain: Chain): Promise<CompiledChain> {
    complaints();
    const pipeline = this.pipelineOf(chain);
    try {
      await this.prepare(pipeline, chain);
      this.check(pipeline);
    } catch (error) {
      await pipeline.destroy().catch(() => undefined);
      const heard = complaints();
      throw heard.length > 0 ? new DegradedError(`${messageOf(error)} (${heard.join('; ')})`) : error;
    }
    this.chains.add(pipeline);
    return {
      executor: pipeline.executorKind,
      run: (inputs, outputs) => this.run(pipeline, inputs, outputs),
      dispose: async () => {
        if (this.chains.delete(pipeline)) await pipeline.destroy();
      },
    };
  }

  async dispose(): Promise<void> {
    for (const pipeline of this.chains) await pipeline.destroy();
    this.chains.clear();
    await this.gpu.destroy();
  }

  private pipelineOf({ kernels, inputs, constants, outputs }: Chain): IPipelineRunShortcut {
    const made = new Map<string, IKernelRunShortcut>();
    const shortcuts = kernels.map((kernel) => this.kernelOf(kernel, made));
    const known = new Map([...constants].map(([name, data]) => [name, sampled(data)]));
    const orchestrate = (...given: unknown[]): unknown[] => {
      const values = new Map<string, unknown>(known);
      inputs.forEach((name, i) => values.set(name, given[i]));
      kernels.forEach((kernel, i) => {
        const call = shortcuts[i]! as unknown as (...values: unknown[]) => unknown;
        values.set(kernel.output, call(...kernel.inputs.map((name) => values.get(name))));
      });
      return outputs.map((name) => values.get(name));
    };
    // gpu.js asks the function how many arguments it has
    Object.defineProperty(orchestrate, 'length', { value: inputs.length });
    return this.gpu.createPipeline(orchestrate, { threads: this.threads > 1 });
  }

  /** One kernel for all launches of the same text. */
  private kernelOf(kernel: Kernel, made: Map<string, IKernelRunShortcut>): IKernelRunShortcut {
    const written = this.fits(kernel) ? kernel : flattened(kernel);
    const key = `${written.extents.join('x')} ${JSON.stringify(written.constants)} ${written.source}`;
    let found = made.get(key);
    if (!found) {
      found = this.gpu.createKernel(written.source as unknown as () => number, {
        output: [...written.extents],
        constants: { ...written.constants },
        // its type does not know it; the library's default ends loops whose bounds it does not see at 1000 turns
        ...{ loopMaxIterations: 2 ** 31 - 1 },
      });
      made.set(key, found);
    }
    return found;
  }

  /** Plain JavaScript keeps several axes as arrays of arrays, and GPUs have few workgroups along the second and third. */
  private fits({ extents }: Kernel): boolean {
    if (this.backend === 'javascript') return extents.length === 1;
    return extents.slice(1).every((extent) => extent <= 65535);
  }

  /** Compiles without computing, where gpu.js lets us: its fused executors compile all before they read anything. */
  private async prepare(pipeline: IPipelineRunShortcut, { inputs, sizes }: Chain): Promise<void> {
    const lazy = this.backend === 'javascript' || this.backend === 'webgl';
    if (lazy || inputs.length === 0) {
      const zeros = inputs.map((name) => this.argument(new Float32Array(sizes.get(name)!)));
      await pipeline(...(zeros as never[]));
      return;
    }
    try {
      await pipeline(...(inputs.map((name) => this.argument(unreadable(sizes.get(name)!))) as never[]));
    } catch (error) {
      if (error !== COMPILED) throw error;
    }
  }

  private argument(data: Float32Array): GpuJsInput {
    return new this.Input(data as unknown as number[], [data.length]);
  }

  /** @throws DegradedError where something else runs than was asked for */
  private check({ executorKind, backend, pipeline: { fallbackReason } }: IPipelineRunShortcut): void {
    const { reports, executors } = MODES[this.backend];
    if (backend === reports && (executors as readonly string[]).includes(executorKind)) return;
    const reason = fallbackReason ?? complaints().join('; ');
    throw new DegradedError(
      `gpu.js would run it as ${executorKind} on ${backend ?? 'nothing'}, where ${executors.join(' or ')} on ${reports} is asked for: ${reason}`,
    );
  }

  private async run(
    pipeline: IPipelineRunShortcut,
    inputs: readonly Float32Array[],
    outputs: readonly Float32Array[],
  ): Promise<void> {
    const results = (await pipeline(
      ...(inputs.map((data) => this.argument(sampled(data))) as never[]),
    )) as unknown[];
    this.check(pipeline);
    const heard = complaints();
    if (heard.length > 0) throw new DegradedError(heard.join('; '));
    results.forEach((rows, i) => copyRows(rows, outputs[i]!));
  }
}

/** An array of a length that cannot be read: whoever tries is told so. */
function unreadable(length: number): Float32Array {
  const target = { length };
  return new Proxy(target, {
    get(_, key) {
      if (key === 'length') return length;
      if (typeof key === 'string' && /^\d+$/.test(key)) throw COMPILED;
      return undefined;
    },
  }) as unknown as Float32Array;
}

/** The WebGPU device that gpu.js made for this thread. */
interface Native {
  readonly index: number;
  readonly name: string;
  readonly bindingBytes: number;
  readonly gpu: object;
  lost: string | undefined;
  destroy(): void;
}

let opened: Native | undefined;

/** gpu.js has one device a thread: whoever comes second must want the same one. */
async function openNative(index: number): Promise<Native> {
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
function pretendNavigator(native: Native | undefined, threads: number): void {
  const gpu = native?.gpu ?? opened?.gpu;
  const value = { ...(gpu && { gpu }), hardwareConcurrency: threads };
  Object.defineProperty(globalThis, 'navigator', { value, configurable: true, writable: true });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
