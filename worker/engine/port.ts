import type { Bytes } from '../../base/index.js';
import type { DataType, TensorData, TensorType, TypedGraph } from '../../graph/index.js';
import { emptyData, formatType, sizeOf } from '../../graph/index.js';
import { BufferError } from './errors.js';

/** An input or output of a program: row-major elements of a fixed shape. */
export interface ValueSpec extends TensorType {
  readonly name: string;
}

/**
 * What computes. Compiles graphs of fixed shapes into programs, each independent of the others.
 *
 * An engine belongs to one thread, and `run` may block that thread for as long as it computes:
 * see `ComputeThread` for a thread of its own.
 */
export interface Engine {
  readonly name: EngineName;
  /** For people: `cpu, 2 threads`. */
  readonly device: string;
  /**
   * @throws CompileError naming the node where the engine says which
   */
  compile(graph: TypedGraph): Promise<Program>;
  /** Where values stay on the device between runs; absent where programs compute in the host's memory. */
  readonly memory?: DeviceMemory | undefined;
  /**
   * The most bytes of its device that it has counted for programs and values since this was called last; absent where
   * it computes in the host's memory.
   */
  takeMostBytes?(): Bytes | undefined;
  /** Disposes all programs. Idempotent. */
  dispose(): Promise<void>;
}

/**
 * What an engine is told of the host's buffers, so that values need not travel at every run. A buffer is known by its
 * identity: one that was transferred is another one.
 */
export interface DeviceMemory {
  /**
   * From now on only programs of this engine read and write the buffer: what it holds may be copied to the device, and
   * what programs write to it may stay there alone.
   */
  own(buffer: ArrayBuffer): void;
  /** Brings the buffer's contents up to date and forgets it. Unknown buffers are fine. */
  release(buffer: ArrayBuffer): Promise<void>;
  /** Forgets the buffer, whose contents nobody needs, and frees what stands for it. Unknown buffers are fine. */
  drop(buffer: ArrayBuffer): void;
}

export interface Program {
  /** The graph's inputs in order, then its parameters in the model's order. */
  readonly inputs: readonly ValueSpec[];
  /** The graph's outputs in order. */
  readonly outputs: readonly ValueSpec[];
  /** Nodes that do not run on the engine's device but on the host's CPU; empty where everything runs on the device. */
  readonly fallbacks: readonly Fallback[];
  /**
   * Computes `outputs` from `inputs`, both positional and owned by the caller, never kept.
   *
   * Views at any aligned offset of an ArrayBuffer are fine; SharedArrayBuffers are not (onnxruntime-node
   * refuses them). Outputs are filled in place and must not overlap inputs or each other. One run at a time.
   * @throws BufferError before anything is computed, when an array is not of its value's type and length
   * @throws RunError when computing failed; the outputs then hold anything
   */
  run(inputs: readonly TensorData[], outputs: readonly TensorData[]): Promise<void>;
  /** Frees what the engine holds. Idempotent. A later `run` throws BufferError. */
  dispose(): Promise<void>;
}

/** A node of a program that does not run on the engine's device. */
export interface Fallback {
  readonly node: string;
  readonly operator: string;
  readonly reason: string;
}

/** What becomes of nodes that a device cannot run: they run on the host's CPU and are told, or the graph is refused. */
export type FallbackPolicy = 'report' | 'forbid';

/** The engines of this version. */
export const engineNames = ['onnxruntime', 'gpujs', 'reference'] as const;
export type EngineName = (typeof engineNames)[number];

export interface EngineOptions {
  /** `KIND[:INDEX]`: `cpu`, `webgpu:0`. Default `cpu`. */
  readonly device?: string;
  /** Threads that one program may compute with; default: one for each core. */
  readonly threads?: number;
  /**
   * Whether the engine keeps freed memory for the next step (faster) rather than giving it back to the
   * system. Default true.
   */
  readonly arena?: boolean;
  /** What the engine may allocate on its device; engines that compute in the host's memory do not look at it. */
  readonly memoryBytes?: Bytes;
  /** What one value may take on its device, where that is less than the device's own limit. */
  readonly largestBytes?: Bytes;
  /** `report` lists such nodes as the program's `fallbacks`. Default `report`. */
  readonly fallback?: FallbackPolicy;
}

/** The inputs that a program of `graph` takes: its inputs, then its parameters. */
export function inputSpecs(graph: TypedGraph): readonly ValueSpec[] {
  return specsOf(graph, [...graph.inputs, ...graph.parameters.keys()]);
}

export function outputSpecs(graph: TypedGraph): readonly ValueSpec[] {
  return specsOf(graph, graph.outputs);
}

function specsOf(graph: TypedGraph, names: readonly string[]): readonly ValueSpec[] {
  return names.map((name) => {
    const type = graph.types.get(name);
    if (!type) throw new BufferError(`graph "${graph.name}" has no type for "${name}"`);
    return { name, dtype: type.dtype, shape: type.shape };
  });
}

/**
 * Checks that `data` are the arrays that `specs` ask for.
 * @param role `input` or `output`, for the message
 * @throws BufferError naming the first value that does not fit
 */
export function checkBuffers(specs: readonly ValueSpec[], data: readonly TensorData[], role: string): void {
  if (data.length !== specs.length) {
    throw new BufferError(`${specs.length} ${role}s are needed, ${data.length} were given`);
  }
  for (let i = 0; i < specs.length; i++) {
    const spec = specs[i]!;
    const array = data[i]!;
    const size = sizeOf(spec.shape);
    const what = `${role} "${spec.name}" (${formatType(spec)})`;
    if (array.constructor !== arrayClass(spec.dtype)) {
      throw new BufferError(`${what} cannot be a ${array.constructor.name}`);
    }
    if (array.length !== size) {
      const detached =
        array.buffer.byteLength === 0 && size > 0 ? ' (its buffer is empty or was transferred)' : '';
      throw new BufferError(`${what} needs ${size} elements, got ${array.length}${detached}`);
    }
    if (array.buffer instanceof SharedArrayBuffer) {
      throw new BufferError(`${what} lies in a SharedArrayBuffer, which engines do not take`);
    }
  }
}

const arrayClasses = new Map<DataType, unknown>();

function arrayClass(dtype: DataType): unknown {
  let found = arrayClasses.get(dtype);
  if (found === undefined) {
    found = emptyData(dtype, 0).constructor;
    arrayClasses.set(dtype, found);
  }
  return found;
}
