import { availableParallelism } from 'node:os';
import { env, InferenceSession } from 'onnxruntime-node';
import { writeTypedGraph, type DataType, type TypedGraph } from '../../../graph/index.js';
import { withOwnOutputs } from '../direct.js';
import { CompileError, EngineUnavailableError } from '../errors.js';
import { inputSpecs, outputSpecs, type Engine, type EngineOptions, type Program } from '../port.js';
import { compileError } from './faults.js';
import { OnnxRuntimeProgram } from './program.js';

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
      throw compileError(error, graph);
    }
    const program = new OnnxRuntimeProgram(graph, session, [], inputs, outputs, own.outputs, () => {
      this.programs.delete(program);
    });
    this.programs.add(program);
    return program;
  }

  async dispose(): Promise<void> {
    for (const program of [...this.programs]) await program.dispose();
  }
}
