import type { Bytes } from '../../../base/index.js';
import { env, type InferenceSession } from 'onnxruntime-node';
import type { DataType, TypedGraph } from '../../../graph/index.js';
import { noSuchAdapter, webgpuAdapters } from '../adapters/index.js';
import { withOwnOutputs } from '../direct.js';
import { CompileError, EngineUnavailableError } from '../errors.js';
import { fallbackForbidden } from '../fallback.js';
import {
  inputSpecs,
  outputSpecs,
  type DeviceMemory,
  type Engine,
  type EngineOptions,
  type Fallback,
  type Program,
  type ValueSpec,
} from '../port.js';
import { compileWithin } from '../split-program.js';
import { DeviceBudget } from './budget.js';
import { Copier } from './copier.js';
import { DeviceProgram } from './device-program.js';
import { compileError, messageOf } from './faults.js';
import { lowerFor } from './lowering/index.js';
import { OnnxRuntimeProgram } from './program.js';
import { providerOf, type Provider } from './provider.js';
import { fellBack, openSession } from './session.js';
import { fallbacksOf } from './support.js';
import { DeviceValues } from './values.js';

/** Element types that onnxruntime-node takes at a graph's edge (bfloat16 is missing there). */
const EDGE_TYPES: ReadonlySet<DataType> = new Set<DataType>([
  'float32',
  'float64',
  'float16',
  'int8',
  'int16',
  'int32',
  'int64',
  'uint8',
  'uint16',
  'uint32',
  'uint64',
  'bool',
]);

/** Where the library put nodes on the CPU that were to run on the device; it does not say which. */
const UNNAMED: Fallback = {
  node: '(onnxruntime does not say)',
  operator: '',
  reason: 'onnxruntime computes a part of the graph on the CPU',
};

/** What the engine has on a GPU besides programs. */
interface Gpu {
  readonly copier: Copier;
  readonly values: DeviceValues;
  readonly budget: DeviceBudget;
}

/**
 * ONNX Runtime through onnxruntime-node: on the CPU, on a GPU by WebGPU, or by CUDA.
 *
 * What the binding does, and this adapter therefore does:
 * - `run` is synchronous behind its promise; hence the thread of its own (`thread/`).
 * - Given pre-allocated outputs it fills them in place and yet returns fresh copies; those are dropped unread.
 * - Views at any offset are taken without a copy; SharedArrayBuffers are refused.
 * - On WebGPU: results on the device are asked for when a session is made; a value that was disposed must never be
 *   named again, and all must be gone before the process ends, else the library ends it.
 */
export class OnnxRuntimeEngine implements Engine {
  readonly name = 'onnxruntime';
  readonly device: string;
  private readonly programs = new Set<Program>();

  private constructor(
    private readonly provider: Provider,
    private readonly gpu: Gpu | undefined,
    private readonly forbidden: boolean,
    adapter?: string,
  ) {
    this.device = adapter === undefined ? provider.device : `${provider.device}, ${adapter}`;
  }

  /** @throws EngineUnavailableError for a device that is not here, saying what to install */
  static async create(options: EngineOptions = {}): Promise<OnnxRuntimeEngine> {
    env.logLevel = 'fatal';
    const provider = providerOf(options);
    const forbidden = options.fallback === 'forbid';
    if (provider.kind !== 'webgpu') return new OnnxRuntimeEngine(provider, undefined, forbidden);
    const { adapters } = await webgpuAdapters();
    const [adapter] = adapters;
    if (!adapter) throw noSuchAdapter(0, adapters);
    const copier = await bringUp(provider);
    const limits = {
      device: provider.device,
      memoryBytes: options.memoryBytes,
      largestBytes: Math.min(
        adapter.maxBindingBytes,
        adapter.maxBufferBytes,
        options.largestBytes ?? Infinity,
      ),
    };
    const gpu = { copier, values: new DeviceValues(copier), budget: new DeviceBudget(limits) };
    return new OnnxRuntimeEngine(provider, gpu, forbidden, adapter.name);
  }

  /** Where values stay between runs; undefined on the CPU. */
  get memory(): (DeviceMemory & Pick<DeviceValues, 'bytes' | 'count'>) | undefined {
    return this.gpu?.values;
  }

  takeMostBytes(): Bytes | undefined {
    return this.gpu?.budget.takeMost();
  }

  compile(graph: TypedGraph): Promise<Program> {
    const { largestBytes } = this.gpu?.budget.limits ?? {};
    const compile = (each: TypedGraph) => this.compileWhole(each);
    return compileWithin({ engine: this.name, largestBytes, compile }, graph);
  }

  private async compileWhole(graph: TypedGraph): Promise<Program> {
    const inputs = inputSpecs(graph);
    const outputs = outputSpecs(graph);
    for (const spec of [...inputs, ...outputs]) {
      if (!EDGE_TYPES.has(spec.dtype)) {
        throw new CompileError(
          this.name,
          graph.name,
          `"${spec.name}" is ${spec.dtype}, which it does not take`,
        );
      }
    }
    const lowered = lowerFor(this.provider.kind, withOwnOutputs(graph));
    this.gpu?.budget.checkGraph(lowered);
    const predicted = this.provider.kind === 'webgpu' ? fallbacksOf(lowered) : [];
    if (this.forbidden && predicted.length > 0)
      throw fallbackForbidden(this.name, graph.name, this.provider.device, predicted);
    const { session, fallbacks } = await this.open(graph, lowered, predicted);
    const program = this.programOf(graph, lowered, { session, fallbacks, inputs, outputs }, () => {
      this.programs.delete(program);
    });
    this.programs.add(program);
    return program;
  }

  async dispose(): Promise<void> {
    for (const program of [...this.programs]) await program.dispose();
    this.gpu?.values.dropAll();
    await this.gpu?.copier.dispose();
  }

  private programOf(
    graph: TypedGraph,
    lowered: TypedGraph,
    made: {
      readonly session: InferenceSession;
      readonly fallbacks: readonly Fallback[];
      readonly inputs: readonly ValueSpec[];
      readonly outputs: readonly ValueSpec[];
    },
    onDispose: () => void,
  ): Program {
    const { session, fallbacks, inputs, outputs } = made;
    if (!this.gpu)
      return new OnnxRuntimeProgram(graph, session, fallbacks, inputs, outputs, lowered.outputs, onDispose);
    // the device has the constants: another session of the graph reads them again
    const open = async (locations: Parameters<typeof openSession>[3]) =>
      openSession(lowered, this.provider, fallbacks, locations);
    return new DeviceProgram({ graph, lowered, ...made, ...this.gpu, open, onDispose });
  }

  private async open(
    graph: TypedGraph,
    lowered: TypedGraph,
    predicted: readonly Fallback[],
  ): Promise<{ readonly session: InferenceSession; readonly fallbacks: readonly Fallback[] }> {
    try {
      return { session: await openSession(lowered, this.provider, predicted), fallbacks: predicted };
    } catch (error) {
      if (!fellBack(error)) throw compileError(error, graph);
      if (this.forbidden) throw fallbackForbidden(this.name, graph.name, this.provider.device, [UNNAMED]);
    }
    try {
      return { session: await openSession(lowered, this.provider, [UNNAMED]), fallbacks: [UNNAMED] };
    } catch (error) {
      throw compileError(error, graph);
    }
  }
}

async function bringUp(provider: Provider): Promise<Copier> {
  try {
    return await Copier.create(provider.session);
  } catch (cause) {
    throw new EngineUnavailableError(
      `engine onnxruntime cannot use ${provider.device}: ${messageOf(cause)}; it needs a GPU with a driver for Vulkan ` +
        '(Linux, with libvulkan1), Metal or Direct3D 12',
      { cause, ids: { device: provider.device } },
    );
  }
}
