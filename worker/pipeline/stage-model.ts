import type { Dataset } from '../../data/index.js';
import {
  buildEvaluationStages,
  buildStages,
  checkCounts,
  detached,
  runningStatistics,
  type Edge,
  type Graph,
  type StageGraphs,
  type Tensor,
  type TensorType,
  type TypedGraph,
} from '../../graph/index.js';
import {
  frozenParameters,
  sampleShapes,
  shapesOf,
  type RunPlan,
  type SampleShapes,
} from '../../protocol/index.js';
import type { Bucket } from '../../scheduler/index.js';
import type { ComputeThread } from '../engine/index.js';
import { MemoryLedger } from '../memory/index.js';
import { settingsOf, type Settings } from '../optimizer/index.js';
import { withoutValues } from '../run/bucket-values.js';
import { leastPart, mostSizes, pipelineRanksOf } from '../run/parts.js';
import { Programs } from '../run/programs.js';
import { RunningStatistics } from '../statistics/index.js';
import { bucketsOf, type HeldBucket } from './stage-buckets.js';
import type { CompiledStage, CompiledStages, StageDescription } from './compiled-stage.js';
import { axesOf } from './edge-axes.js';
import { backwardFollows } from './program.js';
import { SCALE, StageStep, type PhaseSource, type StageSource } from './stage-step.js';

/** More sizes of micro-batches than this are compiled anew when they come again. */
const MOST_PROGRAMS = 4;

/** What programs are for. */
type Purpose = 'training' | 'validation';

/** What a rank of a pipeline has of a model: buckets, and its stages compiled for as many samples as are asked for. */
export class StageModel {
  #graph: Graph;
  /** Stages of this rank, ascending. */
  readonly own: readonly number[];
  readonly pipelineRanks: number;
  readonly pipelineRank: number;
  readonly trained: readonly HeldBucket[];
  readonly fixed: readonly Bucket[];
  readonly settings: readonly Settings[];
  readonly statistics: RunningStatistics;
  /** Whether a stage of this rank takes inputs or targets from the data. */
  readonly readsData: boolean;
  readonly training: Programs<CompiledStages>;
  readonly evaluation: Programs<CompiledStages>;
  /** Parameters that any stage uses. */
  private readonly used = new Set<string>();
  private readonly thawed: readonly string[];
  private readonly samples: SampleShapes;
  /** Whether the last stage computes forward and backward in one program. */
  private readonly fuses: boolean;
  private readonly names: readonly (readonly string[])[];

  /**
   * @param dataset tells the shapes of a sample
   * @param constants that are part of the weights that come out
   * @throws StageError where the plan's stages are none of this model
   */
  constructor(
    graph: Graph,
    private readonly plan: RunPlan,
    rank: number,
    private readonly dataset: Pick<Dataset, 'inputs' | 'target' | 'length'>,
    private readonly thread: ComputeThread,
    private readonly constants: ReadonlyMap<string, Tensor> = new Map(),
    private readonly ledger = new MemoryLedger(),
  ) {
    this.#graph = graph;
    this.samples = sampleShapes(graph, dataset);
    this.pipelineRanks = pipelineRanksOf(plan);
    this.pipelineRank = plan.ranks[rank]!.pipelineRank;
    this.names = plan.pipeline.stages.map(({ nodes }) => nodes);
    this.fuses = backwardFollows(plan, this.names.length - 1);
    this.own = [...this.names.keys()].filter((stage) => stage % this.pipelineRanks === this.pipelineRank);
    const parameters = [...graph.parameters.keys()];
    const frozen = frozenParameters(plan.frozen, parameters);
    this.thawed = parameters.filter((name) => !frozen.has(name));
    const { settings, indexOf } = settingsOf(plan.optimizer, parameters);
    this.settings = settings;
    // for the whole batch, whatever this rank's share: all replicas lay their buckets out alike
    const whole = this.build(plan.batch);
    const { trained, fixed } = bucketsOf(graph, whole, this, indexOf, plan.bucketBytes);
    this.trained = trained;
    this.fixed = fixed;
    const own = new Set(this.held.flatMap(({ places }) => places.map(({ name }) => name)));
    this.#graph = detached(graph, (name) => own.has(name) || this.isSpare(name));
    const least = leastPart(plan, dataset.length);
    for (const { statistics } of whole) checkCounts(statistics, plan.batch, least);
    this.statistics = new RunningStatistics(this.ownStatistics(whole));
    this.readsData = this.own.some((stage) => {
      const { forward, backward, receives, target } = whole[stage]!;
      return this.reads([forward, ...backward], receives, target?.name);
    });
    // a step uses all of its own at once
    const programs = Math.max(MOST_PROGRAMS, mostSizes(plan, rank, dataset.length));
    this.training = new Programs(programs, (samples) => this.compileTraining(samples));
    this.evaluation = new Programs(MOST_PROGRAMS, (samples) => this.compileEvaluation(samples));
  }

  /** Trained buckets, then fixed ones. */
  get held(): readonly Bucket[] {
    return [...this.trained.map(({ bucket }) => bucket), ...this.fixed];
  }

  get graph(): Graph {
    return this.#graph;
  }

  /** The memory has what is trained: its values are dropped here. */
  forget(): void {
    this.#graph = withoutValues(
      this.#graph,
      this.trained.map(({ bucket }) => bucket),
    );
  }

  /** What training has made of this rank's part of the model, in the model's order; then statistics. */
  weights(trained: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
    const fixed = new Set(this.fixed.flatMap(({ places }) => places.map(({ name }) => name)));
    const mine = [...this.graph.parameters].filter(
      ([name]) => trained.has(name) || fixed.has(name) || this.isSpare(name),
    );
    return new Map([
      ...mine.map(([name, start]) => [name, trained.get(name) ?? start] as const),
      ...(this.pipelineRank === 0 ? this.constants : []),
      ...this.statistics.tensors(),
    ]);
  }

  async dispose(): Promise<void> {
    await this.training.dispose();
    await this.evaluation.dispose();
  }

  /** Whether a parameter is one that no stage uses: the first rank keeps it for the weights. */
  private isSpare(parameter: string): boolean {
    return this.pipelineRank === 0 && !this.used.has(parameter);
  }

  private build(samples: number): readonly StageGraphs[] {
    const { kind, stages } = this.plan.pipeline;
    const built = buildStages(this.graph, {
      ...this.options(samples),
      parameters: this.thawed,
      recompute: stages.map(({ recompute }) => recompute),
      splitBackward: kind === 'zero-bubble',
      fused: stages.map((_, stage) => this.fuses && stage === stages.length - 1),
    });
    for (const { parameters } of built) for (const name of parameters) this.used.add(name);
    return built;
  }

  private options(samples: number) {
    return { loss: this.plan.loss, ...shapesOf(this.samples, samples), stages: this.names };
  }

  /** The model's inputs in the order of the data set's. */
  private get inputNames(): readonly string[] {
    return [...this.samples.inputs.keys()];
  }

  /** Whether programs of a stage take anything from the data. @param target its name, where the loss is computed */
  private reads(
    graphs: readonly (TypedGraph | undefined)[],
    receives: readonly Edge[],
    target: string | undefined,
  ): boolean {
    const received = new Set(receives.map(({ at }) => at));
    const fromData = new Set([...this.inputNames, ...(target === undefined ? [] : [target])]);
    return graphs.some((graph) => graph?.inputs.some((name) => fromData.has(name) && !received.has(name)));
  }

  /** Running statistics that the stages of this rank move or read; the first rank has those that nobody does. */
  private ownStatistics(stages: readonly StageGraphs[]): ReadonlyMap<string, Tensor> {
    const all = runningStatistics(this.graph);
    const users = new Map<string, number>();
    stages.forEach(({ statistics, forward }, stage) => {
      const moved = statistics.flatMap(({ mean, variance }) => [mean.buffer, variance.buffer]);
      for (const name of [...moved, ...forward.inputs])
        if (all.has(name)) users.set(name, stage % this.pipelineRanks);
    });
    return new Map([...all].filter(([name]) => (users.get(name) ?? 0) === this.pipelineRank));
  }

  private async compileTraining(samples: number): Promise<CompiledStages> {
    const built = this.build(samples);
    const axes = axesOf(built, samples, () => this.build(2 * samples));
    const { target } = built.at(-1)!;
    const split = this.plan.pipeline.kind === 'zero-bubble';
    return this.compile(samples, 'training', (stage) => {
      const graphs = built[stage]!;
      const backward = graphs.backward.map((graph, half): PhaseSource => {
        const halves = ['backward-input', 'backward-weight'] as const;
        return { kind: split ? halves[half]! : 'backward', graph };
      });
      const results = graphs.statistics.flatMap(({ mean, variance }) => [mean.output, variance.output]);
      return {
        phases: [{ kind: 'forward', graph: graphs.forward }, ...backward],
        edges: graphs,
        results: [...(graphs.loss === undefined ? [] : [graphs.loss]), ...results],
        kept: graphs.kept,
        gradients: new Map([...graphs.gradients].map(([parameter, value]) => [value, parameter])),
        masks: graphs.dropout,
        target: target!,
        statistics: graphs.statistics,
        fused: this.fuses && stage === built.length - 1,
        loss: graphs.loss,
        output: undefined,
        axisOf: axes,
      };
    });
  }

  private async compileEvaluation(samples: number): Promise<CompiledStages> {
    const options = (count: number) => ({ ...this.options(count), stages: this.names });
    const built = buildEvaluationStages(this.graph, options(samples));
    const axes = axesOf(built, samples, () => buildEvaluationStages(this.graph, options(2 * samples)));
    const { target } = built.at(-1)!;
    return this.compile(samples, 'validation', (stage) => {
      const { graph, receives, sends, loss, output } = built[stage]!;
      return {
        phases: [{ kind: 'forward', graph }],
        edges: { receives, sends, receivesGradients: [], sendsGradients: [] },
        results: [loss, output].filter((name) => name !== undefined),
        kept: [],
        gradients: new Map(),
        masks: [],
        target: target!,
        statistics: [],
        fused: false,
        loss,
        output,
        axisOf: axes,
      };
    });
  }

  private async compile(
    samples: number,
    purpose: Purpose,
    describe: (stage: number) => StageDescription,
  ): Promise<CompiledStages> {
    const stages = new Map<number, CompiledStage>();
    try {
      for (const stage of this.own)
        stages.set(stage, await this.compileStage(stage, samples, purpose, describe(stage)));
    } catch (error) {
      for (const { step } of stages.values()) await step.dispose();
      throw error;
    }
    return {
      samples,
      stages,
      dispose: async () => {
        for (const { step } of stages.values()) await step.dispose();
      },
    };
  }

  private async compileStage(
    stage: number,
    samples: number,
    purpose: Purpose,
    about: StageDescription,
  ): Promise<CompiledStage> {
    const { phases, edges, target, masks } = about;
    const graphs = phases.flatMap(({ graph }) => graph ?? []);
    const received = new Set([...edges.receives, ...edges.receivesGradients].map(({ at }) => at));
    const types = new Map<string, TensorType>(graphs.flatMap(({ types: all }) => [...all]));
    const inputs = this.inputNames;
    const reads = (name: string) =>
      graphs.some((graph) => graph.inputs.includes(name) && !received.has(name));
    const reading = this.reads(graphs, edges.receives, about.loss === undefined ? undefined : target.name);
    const fields = new Map<string, TensorType>();
    if (reading) {
      const { shapes } = this.options(samples);
      for (const [i, name] of inputs.entries()) {
        fields.set(name, types.get(name) ?? { dtype: this.dataset.inputs[i]!.dtype, shape: shapes[name]! });
      }
      fields.set(target.name, target.type);
    }
    const scaled = reads(SCALE.name);
    if (scaled) fields.set(SCALE.name, types.get(SCALE.name) ?? SCALE);
    const running = [...this.statistics.tensors().keys()].filter(reads);
    for (const name of [...masks.map(({ input }) => input), ...running, ...about.results])
      fields.set(name, types.get(name)!);
    const source: StageSource = {
      ...edges,
      phases,
      kept: about.kept,
      gradients: about.gradients,
      batch: [...fields].map(([name, type]) => ({ name, ...type })),
    };
    const step = await StageStep.compile(this.thread, samples, source, this.held, (kind, graph) =>
      this.ledger.addProgram(
        `stage ${stage}, ${purpose === 'training' ? kind : purpose} with ${samples} samples`,
        graph,
      ),
    );
    return {
      stage,
      step,
      source,
      data: reading ? { inputs, target: target.name, masks } : undefined,
      masks,
      scaled,
      statistics: this.statistics.forStep(about.statistics, running, step.layouts.get('batch')!),
      fused: about.fused,
      loss: about.loss,
      output: about.output,
      axisOf: about.axisOf,
    };
  }
}
