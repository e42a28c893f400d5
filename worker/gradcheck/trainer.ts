import { InvariantError } from '../../base/index.js';
import {
  emptyData,
  LOSS_SCALE,
  runningStatistics,
  sizeOf,
  type Graph,
  type Tensor,
  type TensorData,
  type TrainingGraph,
} from '../../graph/index.js';
import type { OptimizerConfig } from '../../protocol/index.js';
import type { Engine, Fallback, Program } from '../engine/index.js';
import { Optimizer, ruleOf, stateNames, type Shard } from '../optimizer/index.js';
import { fold, foldsOf, RunningStatistics, type Fold } from '../statistics/index.js';

const PAGE = 65536;
/** Elements of a cache line: every tensor starts at one. */
const LINE = 16;

/**
 * Trains one model on one device in this thread: the engine's training program, the optimizer's kernels, the running
 * statistics, and nothing between. Parameters, gradients and state are ranges of one memory that both work in.
 */
export class LocalTrainer {
  private readonly inputs: TensorData[];
  private readonly outputs: TensorData[];
  private readonly folds: readonly { readonly fold: Fold; readonly batch: Float32Array }[];

  private constructor(
    private readonly training: TrainingGraph,
    private readonly program: Program,
    private readonly optimizer: Optimizer,
    private readonly learningRate: number,
    private readonly memory: TrainerMemory,
    /** Of BatchNormalization; they change with each update. */
    readonly statistics: RunningStatistics,
  ) {
    const arrayOf = ({ name, dtype, shape }: Program['inputs'][number]) =>
      memory.bound.get(name) ?? emptyData(dtype, sizeOf(shape));
    this.inputs = program.inputs.map(arrayOf);
    this.outputs = program.outputs.map(arrayOf);
    for (const name of training.running) this.set(name, statistics.of(name));
    this.folds = foldsOf(training.statistics, (name) => statistics.of(name)).map(({ output, fold }) => ({
      fold,
      batch: this.value(output) as Float32Array,
    }));
  }

  /** @param model what the training graph was built from: the values to start from, float32 */
  static async create(
    engine: Engine,
    training: TrainingGraph,
    model: Graph,
    config: OptimizerConfig,
  ): Promise<LocalTrainer> {
    const rule = ruleOf(config);
    const memory = layOut(training, stateNames(rule).length, model.parameters);
    const statistics = new RunningStatistics(runningStatistics(model));
    const program = await engine.compile(training.graph);
    const optimizer = new Optimizer(rule, memory.memory);
    return new LocalTrainer(training, program, optimizer, config.lr, memory, statistics);
  }

  /** Nodes that do not run on the engine's device. */
  get fallbacks(): readonly Fallback[] {
    return this.program.fallbacks;
  }

  /** Views of the parameters: they change with each update. */
  get parameters(): ReadonlyMap<string, Float32Array> {
    return this.memory.parameters;
  }

  /** Views of the gradients; those of parameters without one stay zero. */
  get gradients(): ReadonlyMap<string, Float32Array> {
    return this.memory.gradients;
  }

  /** Sets what the model reads: a data input or the target. The array is kept. */
  set(name: string, data: TensorData): void {
    const at = this.program.inputs.findIndex((input) => input.name === name);
    if (at < 0) throw new InvariantError(`the training graph has no input "${name}"`);
    this.inputs[at] = data;
  }

  /** Forward and backward pass: loss, output and gradients are those of the parameters as they are now. */
  async run(): Promise<void> {
    await this.program.run(this.inputs, this.outputs);
  }

  /** The mean loss of the last run. */
  get loss(): number {
    return Number(this.value(this.training.loss)[0]);
  }

  /** The model's output of the last run, where the training graph gives it. */
  get output(): TensorData {
    return this.value(this.training.output ?? '');
  }

  /** One optimizer update with the gradients and the statistics of the last run. @param step 1 for the first */
  update(step: number): void {
    for (const { fold: how, batch } of this.folds) fold(how, batch);
    this.optimizer.update(this.memory.shard, { learningRate: this.learningRate, step, gradientScale: 1 });
  }

  dispose(): Promise<void> {
    return this.program.dispose();
  }

  private value(name: string): TensorData {
    const at = this.program.outputs.findIndex((output) => output.name === name);
    if (at < 0) throw new InvariantError(`the training graph has no output "${name}"`);
    return this.outputs[at]!;
  }
}

interface TrainerMemory {
  readonly memory: WebAssembly.Memory;
  readonly shard: Shard;
  readonly parameters: ReadonlyMap<string, Float32Array>;
  readonly gradients: ReadonlyMap<string, Float32Array>;
  /** Arrays of the training graph's inputs and outputs that are known from the start. */
  readonly bound: ReadonlyMap<string, TensorData>;
}

/** Parameters, gradients and each state one after the other, all with the same layout. */
function layOut(training: TrainingGraph, states: number, start: ReadonlyMap<string, Tensor>): TrainerMemory {
  const offsets = new Map<string, number>();
  let elements = 0;
  for (const [name, { shape }] of training.graph.parameters) {
    offsets.set(name, elements);
    elements += Math.ceil(sizeOf(shape) / LINE) * LINE;
  }
  const address = (range: number) => 4 * elements * range;
  const pages = Math.max(1, Math.ceil(address(2 + states) / PAGE));
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
  const view = (range: number, name: string) =>
    new Float32Array(
      memory.buffer,
      address(range) + 4 * offsets.get(name)!,
      sizeOf(training.graph.parameters.get(name)!.shape),
    );
  const parameters = new Map<string, Float32Array>();
  const gradients = new Map<string, Float32Array>();
  const bound = new Map<string, TensorData>([[LOSS_SCALE, Float32Array.of(1)]]);
  for (const name of offsets.keys()) {
    const values = start.get(name)?.data;
    if (!(values instanceof Float32Array)) throw new InvariantError(`parameter "${name}" is not float32`);
    parameters.set(name, view(0, name));
    gradients.set(name, view(1, name));
    parameters.get(name)!.set(values);
    bound.set(name, parameters.get(name)!);
    const output = training.gradients.get(name);
    if (output !== undefined) bound.set(output, gradients.get(name)!);
  }
  // nothing is dropped: a comparison with another framework needs a pass without chance
  for (const { input, shape } of training.dropout) bound.set(input, new Float32Array(sizeOf(shape)).fill(1));
  const state = Array.from({ length: states }, (_, i) => address(2 + i));
  const shard = { elements, parameters: address(0), gradients: address(1), state };
  return { memory, shard, parameters, gradients, bound };
}
