import type { TensorData, TypedGraph } from '../../../graph/index.js';
import { BufferError, DeviceLostError, RunError } from '../errors.js';
import { checkBuffers, inputSpecs, outputSpecs, type Program, type ValueSpec } from '../port.js';
import type { CompiledChain, Library } from './library.js';
import type { IndexCheck, Plan } from './plan.js';
import { fromFloats, toFloats } from './values.js';

/** What a program needs of its engine. */
export interface ProgramParts {
  readonly engine: string;
  readonly graph: TypedGraph;
  readonly plan: Plan;
  /** Absent where no value is computed. */
  readonly chain: CompiledChain | undefined;
  readonly library: Library;
  readonly onDispose: () => void;
}

/** A plan that was compiled, between the caller's arrays and float32 values of the device. */
export class GpuJsProgram implements Program {
  readonly fallbacks = [];
  readonly inputs: readonly ValueSpec[];
  readonly outputs: readonly ValueSpec[];
  /** Of inputs that are not float32, as the device takes them. */
  private readonly scratch = new Map<string, Float32Array>();
  /** Where results come to that are not wanted as float32, or are wanted twice. */
  private readonly results = new Map<string, Float32Array>();
  private readonly at: ReadonlyMap<string, number>;
  private readonly made: readonly string[];
  private disposed = false;

  constructor(private readonly parts: ProgramParts) {
    const { graph, plan } = parts;
    this.inputs = inputSpecs(graph);
    this.outputs = outputSpecs(graph);
    this.at = new Map(this.inputs.map(({ name }, i) => [name, i]));
    this.made = madeOutputs(plan);
  }

  async run(inputs: readonly TensorData[], outputs: readonly TensorData[]): Promise<void> {
    const { chain, plan, graph, library } = this.parts;
    if (this.disposed) throw new BufferError(`program "${graph.name}" was disposed`);
    checkBuffers(this.inputs, inputs, 'input');
    checkBuffers(this.outputs, outputs, 'output');
    if (library.lost !== undefined) throw this.lostError(library.lost);
    for (const check of plan.checks) this.checkIndices(check, inputs[this.at.get(check.input)!]!);
    const given = plan.inputs.map((name) => this.floatsOf(name, inputs[this.at.get(name)!]!));
    const targets = this.made.map((name) => this.targetOf(name, outputs));
    if (chain) await this.compute(chain, given, targets);
    plan.outputs.forEach((source, i) => {
      const output = outputs[i]!;
      if (source.kind === 'input') copyInto(output, inputs[this.at.get(source.name)!]!);
      else if (source.kind === 'constant') copyInto(output, source.tensor.data);
      else this.deliver(targets[this.made.indexOf(source.name)]!, output, i);
    });
  }

  async dispose(): Promise<void> {
    if (this.disposed) return;
    this.disposed = true;
    this.scratch.clear();
    this.results.clear();
    this.parts.onDispose();
    await this.parts.chain?.dispose();
  }

  private async compute(
    chain: CompiledChain,
    given: readonly Float32Array[],
    targets: readonly Float32Array[],
  ): Promise<void> {
    const { engine, graph, library } = this.parts;
    try {
      await chain.run(given, targets);
    } catch (error) {
      const lost = await library.whyLost();
      if (lost !== undefined) throw this.lostError(lost, error);
      const reason = error instanceof Error ? error.message : String(error);
      throw new RunError(engine, graph.name, reason, { cause: error });
    }
  }

  private lostError(reason: string, cause?: unknown): DeviceLostError {
    const { engine, library } = this.parts;
    return new DeviceLostError(engine, library.device, reason, cause);
  }

  /** The caller's own array where it is float32, else a copy in an array that stays. */
  private floatsOf(name: string, data: TensorData): Float32Array {
    if (data instanceof Float32Array) return data;
    let scratch = this.scratch.get(name);
    if (!scratch) this.scratch.set(name, (scratch = new Float32Array(data.length)));
    const large = toFloats(data, scratch);
    if (large === undefined) return scratch;
    const { engine, graph } = this.parts;
    throw new RunError(
      engine,
      graph.name,
      `input "${name}" holds ${large}; integers up to 2^24 are exact on this device`,
    );
  }

  /** The first float32 output that wants a value, else an array that stays. */
  private targetOf(name: string, outputs: readonly TensorData[]): Float32Array {
    const first = this.parts.plan.outputs.findIndex(
      (source) => source.kind === 'launch' && source.name === name,
    );
    const output = outputs[first]!;
    if (output instanceof Float32Array) return output;
    let target = this.results.get(name);
    if (!target) this.results.set(name, (target = new Float32Array(output.length)));
    return target;
  }

  private deliver(from: Float32Array, output: TensorData, at: number): void {
    if (from === output) return;
    const large = fromFloats(from, output);
    if (large === undefined) return;
    const { engine, graph } = this.parts;
    const { name } = this.outputs[at]!;
    throw new RunError(
      engine,
      graph.name,
      `output "${name}" holds ${large}; integers up to 2^24 are exact on this device`,
    );
  }

  private checkIndices({ input, node, lengths }: IndexCheck, indices: TensorData): void {
    for (let i = 0; i < indices.length; i++) {
      const length = lengths[i % lengths.length]!;
      const index = Number(indices[i]!);
      if (index < length && index >= -length) continue;
      const { engine, graph } = this.parts;
      throw new RunError(
        engine,
        graph.name,
        `node "${node.name}" (${node.operator}): index ${index} in "${input}" is outside a dimension of ${length}`,
        { ids: { node: node.name, operator: node.operator } },
      );
    }
  }
}

/** The values that the chain gives, each once. */
export function madeOutputs(plan: Plan): readonly string[] {
  return [...new Set(plan.outputs.flatMap((source) => (source.kind === 'launch' ? [source.name] : [])))];
}

/** A constant as the device takes it. */
export function floatConstant(data: TensorData): Float32Array {
  const floats = new Float32Array(data.length);
  toFloats(data, floats);
  return floats;
}

function copyInto(target: TensorData, source: TensorData): void {
  (target as Float32Array).set(source as Float32Array);
}
