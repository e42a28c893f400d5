import type { TensorData, TypedGraph } from '../../graph/index.js';
import { standardOperators, type Reference } from '../../graph/operators/index.js';
import { evaluate, fromReference, toReference } from '../../graph/reference/index.js';
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

/**
 * The float64 evaluator as an engine: no optimization, one thread, everything in float64 from the inputs to the
 * outputs. What other engines are checked against; far too slow to train more than toys.
 */
export class ReferenceEngine implements Engine {
  readonly name = 'reference';
  readonly device = 'cpu, float64 in plain TypeScript';
  private readonly programs = new Set<ReferenceProgram>();

  /** @throws EngineUnavailableError for a device other than the CPU */
  constructor(options: EngineOptions = {}) {
    const device = options.device ?? 'cpu';
    if (!/^cpu(:\d+)?$/.test(device)) {
      throw new EngineUnavailableError(`engine reference has no device "${device}": it runs on cpu`, {
        ids: { device },
      });
    }
  }

  compile(graph: TypedGraph): Promise<Program> {
    const unknown = graph.nodes.find((node) => !standardOperators.find(node));
    if (unknown) {
      const { name: node, operator } = unknown;
      const reason = `node "${node}": operator ${operator} has no definition`;
      return Promise.reject(new CompileError(this.name, graph.name, reason, { ids: { node, operator } }));
    }
    const program = new ReferenceProgram(graph, () => this.programs.delete(program));
    this.programs.add(program);
    return Promise.resolve(program);
  }

  async dispose(): Promise<void> {
    for (const program of [...this.programs]) await program.dispose();
  }
}

class ReferenceProgram implements Program {
  readonly fallbacks = [];
  readonly inputs: readonly ValueSpec[];
  readonly outputs: readonly ValueSpec[];
  private disposed = false;

  constructor(
    private readonly graph: TypedGraph,
    private readonly onDispose: () => void,
  ) {
    this.inputs = inputSpecs(graph);
    this.outputs = outputSpecs(graph);
  }

  // eslint-disable-next-line @typescript-eslint/require-await -- the port's promise; what is thrown must reject it
  async run(inputs: readonly TensorData[], outputs: readonly TensorData[]): Promise<void> {
    if (this.disposed) throw new BufferError(`program "${this.graph.name}" was disposed`);
    checkBuffers(this.inputs, inputs, 'input');
    checkBuffers(this.outputs, outputs, 'output');
    const values = new Map(
      this.inputs.map((spec, i) => [spec.name, toReference({ ...spec, data: inputs[i]! })]),
    );
    let results: Map<string, Reference>;
    try {
      results = evaluate(this.graph, values);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new RunError('reference', this.graph.name, reason, { cause: error });
    }
    this.outputs.forEach(({ name }, i) => copyInto(outputs[i]!, fromReference(results.get(name)!).data));
  }

  dispose(): Promise<void> {
    this.disposed = true;
    this.onDispose();
    return Promise.resolve();
  }
}

/** Both are arrays of the same type: `checkBuffers` saw to it. */
function copyInto(target: TensorData, source: TensorData): void {
  (target as Float32Array).set(source as Float32Array);
}
