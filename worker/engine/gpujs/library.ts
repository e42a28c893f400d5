import { availableParallelism } from 'node:os';
import type { GPU as GpuJs, IKernelRunShortcut, IPipelineRunShortcut, Input as GpuJsInput } from 'gpu.js';
import { EngineUnavailableError } from '../errors.js';
import { complaints, hearComplaints } from './complaints.js';
import { DegradedError } from './errors.js';
import { copyRows, flattened } from './flatten.js';
import type { Backend, Kernel } from './kernel.js';
import { openNative, pretendNavigator, type Native } from './native.js';
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
    private readonly Gpu: typeof GpuJs,
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
    return new Library(backend, device, limits, GPU, gpu, Input, threads, native);
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
    // kernels in plain JavaScript stay with their gpu.js until it goes: there each program has its own
    const gpu = this.backend === 'javascript' ? new this.Gpu({ mode: 'cpu' }) : this.gpu;
    const made = new Map<string, IKernelRunShortcut>();
    const pipeline = this.pipelineOf(gpu, chain, made);
    try {
      await this.prepare(gpu, pipeline, chain);
      if (this.backend !== 'javascript') this.check(pipeline);
    } catch (error) {
      await this.release(pipeline, made);
      const heard = complaints();
      throw heard.length > 0 ? new DegradedError(`${messageOf(error)} (${heard.join('; ')})`) : error;
    }
    this.chains.add(pipeline);
    return {
      executor: pipeline.executorKind,
      run: (inputs, outputs) => this.run(pipeline, inputs, outputs),
      dispose: async () => {
        if (this.chains.delete(pipeline)) await this.release(pipeline, made);
      },
    };
  }

  async dispose(): Promise<void> {
    for (const pipeline of this.chains) await pipeline.destroy();
    this.chains.clear();
    await this.gpu.destroy();
  }

  /** A pipeline runs on copies of its kernels: both go. */
  private async release(
    pipeline: IPipelineRunShortcut,
    made: ReadonlyMap<string, IKernelRunShortcut>,
  ): Promise<void> {
    await pipeline.destroy();
    for (const kernel of made.values()) kernel.destroy();
  }

  private pipelineOf(gpu: GpuJs, chain: Chain, made: Map<string, IKernelRunShortcut>): IPipelineRunShortcut {
    const { kernels, inputs, constants, outputs } = chain;
    const forms = this.backend === 'webgl' ? this.formsOf(chain) : undefined;
    const shortcuts = kernels.map((kernel) => {
      const read = forms && kernel.inputs.map((name) => forms.get(name)!).join(' ');
      return this.kernelOf(gpu, kernel, made, read);
    });
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
    return gpu.createPipeline(orchestrate, { threads: this.threads > 1 });
  }

  /**
   * How WebGL holds each value. It compiles the sizes and the class of the textures that a kernel reads into it, and
   * takes no others: a texture that was rendered in two axes is not one of one axis.
   */
  private formsOf({ kernels, sizes }: Chain): ReadonlyMap<string, string> {
    const forms = new Map([...sizes].map(([name, size]) => [name, String(size)]));
    for (const kernel of kernels) forms.set(kernel.output, this.written(kernel).extents.join('x'));
    return forms;
  }

  private written(kernel: Kernel): Kernel {
    return this.fits(kernel) ? kernel : flattened(kernel);
  }

  /** One kernel for all launches of the same text, which on WebGL read values of the same forms. */
  private kernelOf(
    gpu: GpuJs,
    kernel: Kernel,
    made: Map<string, IKernelRunShortcut>,
    read = '',
  ): IKernelRunShortcut {
    const written = this.written(kernel);
    const key = `${written.extents.join('x')} ${read} ${JSON.stringify(written.constants)} ${written.source}`;
    let found = made.get(key);
    if (!found) {
      found = gpu.createKernel(written.source as unknown as () => number, {
        output: [...written.extents],
        constants: { ...written.constants },
        // its type does not know it; the library's default ends loops whose bounds it does not see at 1000 turns
        ...{ loopMaxIterations: 2 ** 31 - 1 },
        // else a context without float textures packs values into bytes, and small kernels may count in fewer bits
        ...(this.backend === 'webgl' && { precision: 'single', tactic: 'precision' }),
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

  /**
   * Compiles and computes nothing, or next to nothing: the fused executors compile all before they read anything;
   * plain JavaScript compiles a kernel when its turn comes, so there each is tried for one cell.
   */
  private async prepare(
    gpu: GpuJs,
    pipeline: IPipelineRunShortcut,
    { kernels, inputs, sizes }: Chain,
  ): Promise<void> {
    const zeros = (name: string): GpuJsInput => this.argument(new Float32Array(sizes.get(name)!));
    if (this.backend === 'javascript') {
      const tried = new Set<string>();
      for (const kernel of kernels.map(flattened)) {
        if (tried.has(kernel.source)) continue;
        tried.add(kernel.source);
        const one = this.kernelOf(gpu, { ...kernel, extents: [1] }, new Map());
        (one as unknown as (...values: unknown[]) => unknown)(...kernel.inputs.map(zeros));
        one.destroy();
      }
    } else if (this.backend === 'webgl' || inputs.length === 0) {
      await pipeline(...(inputs.map(zeros) as never[]));
    } else {
      try {
        await pipeline(...(inputs.map((name) => this.argument(unreadable(sizes.get(name)!))) as never[]));
      } catch (error) {
        if (error !== COMPILED) throw error;
      }
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

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
