import { readFile } from 'node:fs/promises';
import { InvariantError } from '../../base/index.js';
import type { Dataset } from '../../data/index.js';
import {
  buildEvaluationGraph,
  buildTrainingGraph,
  cutIntoSegments,
  gradientOrder,
  LOSS_SCALE,
  readModel,
  type Graph,
  type Tensor,
} from '../../graph/index.js';
import type { RunPlan } from '../../protocol/index.js';
import type { ComputeThread } from '../engine/index.js';
import { layoutBuckets, type Bucket } from '../../scheduler/index.js';
import type { FeedNames } from './feeder.js';
import { Programs, type Compiled } from './programs.js';
import { StepProgram } from './step-program.js';

/** Forward, backward: the gradients of so many samples. */
export interface TrainingStep extends Compiled {
  readonly step: StepProgram;
  readonly feed: FeedNames;
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
  readonly buckets: readonly Bucket[];
  readonly training: Programs<TrainingStep>;
  readonly evaluation: Programs<EvaluationStep>;
  /** The graph with parameters that get no gradient turned into constants. */
  private readonly trained: Graph;

  /** @param dataset tells the shapes of a sample */
  constructor(
    readonly graph: Graph,
    private readonly plan: RunPlan,
    private readonly dataset: Dataset,
    private readonly thread: ComputeThread,
  ) {
    // every rank lays its buckets out from the same graph, that of the whole batch, whatever its own share
    const whole = buildTrainingGraph(graph, this.options(plan.batch));
    this.trained = freeze(graph, whole.withoutGradient);
    this.buckets = layoutBuckets(
      gradientOrder(whole).map((name) => ({ name, type: whole.graph.parameters.get(name)! })),
      plan.bucketBytes,
    );
    this.training = new Programs((samples) => this.compileTraining(samples));
    this.evaluation = new Programs((samples) => this.compileEvaluation(samples));
  }

  static async read(path: string): Promise<Graph> {
    return readModel(await readFile(path)).graph;
  }

  /** The trained parameters, the frozen ones among them, in the model's order. */
  inOrder(trained: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
    return new Map([...this.graph.parameters].map(([name, frozen]) => [name, trained.get(name) ?? frozen]));
  }

  async dispose(): Promise<void> {
    await this.training.dispose();
    await this.evaluation.dispose();
  }

  private options(samples: number) {
    const names = this.inputNames();
    const shapes = Object.fromEntries(
      this.dataset.inputs.map((input, i) => [names[i]!, [samples, ...input.sampleShape]]),
    );
    return { loss: this.plan.loss, shapes, targetShape: [samples, ...this.dataset.target.sampleShape] };
  }

  /** The model's inputs in the order of the data set's. */
  private inputNames(): string[] {
    return this.dataset.inputs.map((input, i) => {
      const name = input.name ?? this.graph.inputs[i]?.name;
      if (name === undefined) throw new InvariantError('the data has more inputs than the model');
      return name;
    });
  }

  private async compileTraining(samples: number): Promise<TrainingStep> {
    const training = buildTrainingGraph(this.trained, this.options(samples));
    const { segments } = cutIntoSegments(
      training,
      this.buckets.map((bucket) => bucket.places.map((place) => place.name)),
    );
    const names = this.inputNames();
    const masks = training.dropout.map(({ input, ratio }) => ({ input, ratio }));
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
          training.loss,
        ],
        gradients: new Map([...training.gradients].map(([parameter, value]) => [value, parameter])),
      },
      this.buckets,
    );
    return {
      step,
      feed: { inputs: names, target: training.target.name, lossScale: LOSS_SCALE, masks },
      loss: training.loss,
      dispose: () => step.dispose(),
    };
  }

  private async compileEvaluation(samples: number): Promise<EvaluationStep> {
    const { graph, target, loss, output } = buildEvaluationGraph(this.trained, this.options(samples));
    const names = this.inputNames();
    const step = await StepProgram.compile(
      this.thread,
      samples,
      {
        segments: [graph],
        types: graph.types,
        travelling: [...names, target.name, loss, output],
        gradients: new Map(),
      },
      this.buckets,
    );
    return {
      step,
      feed: { inputs: names, target: target.name, masks: [] },
      loss,
      output,
      dispose: () => step.dispose(),
    };
  }
}

/** A parameter that no gradient reaches is a constant of the training: it is neither exchanged nor updated. */
function freeze(graph: Graph, names: readonly string[]): Graph {
  if (names.length === 0) return graph;
  const frozen = new Set(names);
  return {
    ...graph,
    parameters: new Map([...graph.parameters].filter(([name]) => !frozen.has(name))),
    constants: new Map([...graph.constants, ...[...graph.parameters].filter(([name]) => frozen.has(name))]),
  };
}
