import { availableParallelism } from 'node:os';
import { MessageChannel } from 'node:worker_threads';
import { env, InferenceSession, Tensor } from 'onnxruntime-node';
import { writeTypedGraph, type DataType, type TensorData, type TypedGraph } from '../../graph/index.js';
import { withOwnOutputs } from './direct.js';
import { BufferError, CompileError, EngineUnavailableError, RunError } from './errors.js';
import {
  checkBuffers,
  inputSpecs,
  outputSpecs,
  type Engine,
  type EngineOptions,
  type Program,
  type ValueSpec,
} from './port.js';

/** Errors reach us as exceptions; without this the library prints them on stderr as well. */
const FATAL_ONLY = 4;

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

/**
 * ONNX Runtime on the CPU, through onnxruntime-node.
 *
 * What the binding does, and this adapter therefore does:
 * - `run` is synchronous behind its promise; hence the thread of its own (`thread/`).
 * - Given pre-allocated outputs it fills them in place and yet returns fresh copies; those are dropped unread.
 * - Views at any offset are taken without a copy; SharedArrayBuffers are refused.
 */
export class OnnxRuntimeEngine implements Engine {
  readonly name = 'onnxruntime';
  readonly device: string;
  private readonly threads: number;
  private readonly arena: boolean;
  private readonly programs = new Set<OnnxRuntimeProgram>();

  /** @throws EngineUnavailableError for a device other than the CPU */
  constructor(options: EngineOptions = {}) {
    const device = options.device ?? 'cpu';
    if (!/^cpu(:\d+)?$/.test(device)) {
      throw new EngineUnavailableError(
        `engine onnxruntime has no device "${device}" in this version: it runs on cpu`,
        { ids: { device } },
      );
    }
    this.threads = options.threads ?? availableParallelism();
    this.arena = options.arena ?? true;
    this.device = `cpu, ${this.threads} thread${this.threads === 1 ? '' : 's'}`;
    env.logLevel = 'fatal';
  }

  async compile(graph: TypedGraph): Promise<Program> {
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
    const own = withOwnOutputs(graph);
    let session: InferenceSession;
    try {
      session = await InferenceSession.create(writeTypedGraph(own), {
        executionProviders: ['cpu'],
        intraOpNumThreads: this.threads,
        interOpNumThreads: 1,
        executionMode: 'sequential',
        enableCpuMemArena: this.arena,
        // a pattern keeps one block as large as all values that live at once, beside the chunks of the first run: on
        // our models a quarter more memory for no measurable time
        enableMemPattern: false,
        logSeverityLevel: FATAL_ONLY,
        // other processes compute on the same cores: threads that wait must not spin
        extra: { session: { intra_op: { allow_spinning: '0' } } },
      });
    } catch (error) {
      const reason = messageOf(error);
      throw new CompileError(this.name, graph.name, reason, { cause: error, ids: nodeIn(reason, graph) });
    }
    const program = new OnnxRuntimeProgram(graph, session, inputs, outputs, own.outputs, () => {
      this.programs.delete(program);
    });
    this.programs.add(program);
    return program;
  }

  async dispose(): Promise<void> {
    for (const program of [...this.programs]) await program.dispose();
  }
}

class OnnxRuntimeProgram implements Program {
  private disposed = false;

  constructor(
    private readonly graph: TypedGraph,
    private readonly session: InferenceSession,
    readonly inputs: readonly ValueSpec[],
    readonly outputs: readonly ValueSpec[],
    private readonly outputNames: readonly string[],
    private readonly onDispose: () => void,
  ) {}

  async run(inputs: readonly TensorData[], outputs: readonly TensorData[]): Promise<void> {
    if (this.disposed) throw new BufferError(`program "${this.graph.name}" was disposed`);
    checkBuffers(this.inputs, inputs, 'input');
    checkBuffers(this.outputs, outputs, 'output');
    const feeds: Record<string, Tensor> = {};
    for (let i = 0; i < inputs.length; i++) feeds[this.inputs[i]!.name] = wrap(this.inputs[i]!, inputs[i]!);
    const fetches: Record<string, Tensor> = {};
    for (let i = 0; i < outputs.length; i++)
      fetches[this.outputNames[i]!] = wrap(this.outputs[i]!, outputs[i]!);
    try {
      const results = await this.session.run(feeds, fetches);
      freeCopies(Object.values(results), outputs);
    } catch (error) {
      const reason = messageOf(error);
      throw new RunError('onnxruntime', this.graph.name, reason, {
        cause: error,
        ids: nodeIn(reason, this.graph),
      });
    }
  }

  async dispose(): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    this.onDispose();
    await this.session.release();
  }
}

const { port1: nowhere, port2: closed } = new MessageChannel();
closed.close();

/**
 * Frees what the binding returns beside the outputs that it has filled: copies of them. Left to the garbage collector they
 * would take as much again for some steps, in pages that are new each time (docs/decisions/14). What is sent to a port
 * that is closed is freed at once.
 */
function freeCopies(results: readonly Tensor[], outputs: readonly TensorData[]): void {
  const own = new Set<unknown>(outputs.map(({ buffer }) => buffer));
  const copies = results.flatMap(({ data }) =>
    ArrayBuffer.isView(data) && !own.has(data.buffer) ? [data.buffer as ArrayBuffer] : [],
  );
  nowhere.postMessage(null, [...new Set(copies)]);
}

/** The binding's own handle of the caller's memory; nothing is copied. */
function wrap({ dtype, shape }: ValueSpec, data: TensorData): Tensor {
  return new Tensor(dtype as 'float32', data as Float32Array, shape);
}

function messageOf(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).trim();
}

/** The node that the message names, where it names one of this graph's: `In Node, ("n", ...`, `node. Name:'n'`. */
function nodeIn(message: string, graph: TypedGraph): Readonly<Record<string, unknown>> {
  for (const [, name] of message.matchAll(/(?:node|name)[^"'(]{0,12}["'(]+([^"'()]+)["')]/gi)) {
    const node = graph.nodes.find((candidate) => candidate.name === name);
    if (node) return { node: node.name, operator: node.operator };
  }
  return {};
}
