import { readFile } from 'node:fs/promises';
import type { Dataset } from '../../data/index.js';
import {
  buildEvaluationGraph,
  buildTrainingGraph,
  checkCounts,
  copyTensor,
  cutIntoSegments,
  detached,
  fixedStatistics,
  gradientOrder,
  LOSS_SCALE,
  readModel,
  runningStatistics,
  setBatchNormalization,
  setLossOutput,
  type Graph,
  type Loaded,
  type Tensor,
} from '../../graph/index.js';
import {
  frozenParameters,
  sampleShapes,
  shapesOf,
  type RunPlan,
  type SampleShapes,
} from '../../protocol/index.js';
import type { ComputeThread } from '../engine/index.js';
import { layoutBuckets, type Bucket } from '../../scheduler/index.js';
import type { MemoryLedger } from '../memory/index.js';
import { settingsOf, type Settings } from '../optimizer/index.js';
import { RunningStatistics, type StepStatistics } from '../statistics/index.js';
import { withoutValues } from './bucket-values.js';
import { leastPart } from './parts.js';
import type { FeedNames } from './feeder.js';
import { Programs, type Compiled } from './programs.js';
import { StepProgram } from './step-program.js';

/** A full batch's two sizes of micro-batches and a short last batch's; one more for the end of a validation. */
const MOST_PROGRAMS = 4;

/** Forward, backward: the gradients of so many samples. */
export interface TrainingStep extends Compiled {
  readonly step: StepProgram;
  readonly feed: FeedNames;
  readonly statistics: StepStatistics;
  /** The field of the batch that holds the local mean loss afterwards. */
  readonly loss: string;
}

/** Forward only. */
export interface EvaluationStep extends TrainingStep {
  /** The field that holds the model's output. */
  readonly output: string;
}

/** A run's model on one rank: its buckets, and its steps compiled for as many samples as are asked for. */
export class RankModel {
  #graph: Graph;
  /** Of the trained parameters. */
  readonly buckets: readonly Bucket[];
  /** One, or none, of the parameters that are not trained: the engine reads it, nothing of it travels. */
  readonly fixed: readonly Bucket[];
  /** How parameters are updated, by `group` of their places. */
  readonly settings: readonly Settings[];
  /** Of BatchNormalization. */
  readonly statistics: RunningStatistics;
  readonly training: Programs<TrainingStep>;
  readonly evaluation: Programs<EvaluationStep>;
  /** Parameters that the job does not freeze. */
  private readonly thawed: readonly string[];
  private readonly samples: SampleShapes;

  /**
   * @param dataset tells the shapes of a sample
   * @param constants that are part of the weights that come out
   * @throws ParameterNameError, OptimizerError for what the coordinator let pass and should not have
   */
  constructor(
    graph: Graph,
    private readonly plan: RunPlan,
    dataset: Dataset,
    private readonly thread: ComputeThread,
    private readonly constants: ReadonlyMap<string, Tensor> = new Map(),
    private readonly ledger?: MemoryLedger,
  ) {
    this.#graph = detached(graph, () => true);
    this.samples = sampleShapes(graph, dataset);
    // every rank lays its buckets out from the same graph, that of the whole batch, whatever its own share
    const names = [...graph.parameters.keys()];
    const frozen = frozenParameters(plan.frozen, names);
    this.thawed = names.filter((name) => !frozen.has(name));
    const { settings, indexOf } = settingsOf(plan.optimizer, names);
    this.settings = settings;
    const whole = buildTrainingGraph(graph, this.trainingOptions(plan.batch));
    const pack = (name: string) => ({ name, type: graph.parameters.get(name)!, group: indexOf(name) });
    this.buckets = layoutBuckets(gradientOrder(whole).map(pack), plan.bucketBytes);
    const used = new Set(graph.nodes.flatMap((node) => node.inputs));
    this.fixed = layoutBuckets(whole.withoutGradient.filter((name) => used.has(name)).map(pack), Infinity);
    this.statistics = new RunningStatistics(runningStatistics(graph));
    checkCounts(whole.statistics, plan.batch, leastPart(plan, dataset.length));
    this.training = new Programs(MOST_PROGRAMS, (samples) => this.compileTraining(samples));
    this.evaluation = new Programs(MOST_PROGRAMS, (samples) => this.compileEvaluation(samples));
  }

  /** The model as the job has it train, and the statistics that stay as they are: they are saved with the others. */
  static async read(
    path: string,
    { batchNormalization, lossOutput }: Pick<RunPlan, 'batchNormalization' | 'lossOutput'>,
  ): Promise<Loaded> {
    const { graph: exported, initializers } = readModel(await readFile(path));
    const graph = setBatchNormalization(setLossOutput(exported, lossOutput ?? undefined), batchNormalization);
    const kept = [...fixedStatistics(graph)].filter(([name]) => initializers.has(name));
    return { graph, constants: new Map(kept.map(([name, tensor]) => [name, copyTensor(tensor)])) };
  }

  /** What training has made of the model: the parameters, frozen ones too, in its order; then constants. */
  weights(trained: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
    const parameters = [...this.graph.parameters];
    return new Map([
      ...parameters.map(([name, frozen]) => [name, trained.get(name) ?? frozen] as const),
      ...this.constants,
      ...this.statistics.tensors(),
    ]);
  }

  get graph(): Graph {
    return this.#graph;
  }

  /** The memory has what is trained: its values are dropped here, and with them the file they were read from. */
  forget(): void {
    this.#graph = withoutValues(this.#graph, this.buckets);
  }

  async dispose(): Promise<void> {
    await this.training.dispose();
    await this.evaluation.dispose();
  }

  private options(samples: number) {
    return { loss: this.plan.loss, ...shapesOf(this.samples, samples) };
  }

  private trainingOptions(samples: number) {
    return { ...this.options(samples), parameters: this.thawed };
  }

  /** The model's inputs in the order of the data set's. */
  private get inputNames(): readonly string[] {
    return [...this.samples.inputs.keys()];
  }

  private async compileTraining(samples: number): Promise<TrainingStep> {
    const training = buildTrainingGraph(this.graph, this.trainingOptions(samples));
    const { segments } = cutIntoSegments(
      training,
      this.buckets.map((bucket) => bucket.places.map((place) => place.name)),
    );
    const names = this.inputNames;
    const masks = training.dropout;
    const step = await StepProgram.compile(
      this.thread,
      samples,
      {
        segments,
        types: training.graph.types,
        travelling: [
          ...names,
          training.target.name,
          LOSS_SCALE,
          ...masks.map((mask) => mask.input),
          ...training.running,
          training.loss,
          ...training.statistics.flatMap(({ mean, variance }) => [mean.output, variance.output]),
        ],
        gradients: new Map([...training.gradients].map(([parameter, value]) => [value, parameter])),
      },
      this.buckets,
      this.fixed,
      this.ledger,
    );
    return {
      step,
      feed: { inputs: names, target: training.target.name, scaled: true, masks },
      statistics: this.statistics.forStep(training.statistics, training.running, step.batch),
      loss: training.loss,
      dispose: () => step.dispose(),
    };
  }

  private async compileEvaluation(samples: number): Promise<EvaluationStep> {
    const { graph, target, loss, output, running } = buildEvaluationGraph(this.graph, this.options(samples));
    const names = this.inputNames;
    const step = await StepProgram.compile(
      this.thread,
      samples,
      {
        segments: [graph],
        types: graph.types,
        travelling: [...names, target.name, ...running, loss, output],
        gradients: new Map(),
      },
      this.buckets,
      this.fixed,
      this.ledger,
    );
    return {
      step,
      feed: { inputs: names, target: target.name, masks: [] },
      statistics: this.statistics.forStep([], running, step.batch),
      loss,
      output,
      dispose: () => step.dispose(),
    };
  }
}
