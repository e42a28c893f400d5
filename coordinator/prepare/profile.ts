import {
  buildTrainingGraph,
  byteLengthOf,
  cutIntoSegments,
  gradientOrder,
  LOSS_SCALE,
  peakActivationBytes,
  type Graph,
  type LossKind,
  type Segments,
  type TrainingGraph,
} from '../../graph/index.js';
import { InvariantError } from '../../base/index.js';
import type { Dataset } from '../../data/index.js';
import type { JobSpec, OptimizerConfig } from '../../protocol/index.js';
import {
  DEFAULT_BUCKET_BYTES,
  flopsOf,
  layoutBuckets,
  lineThrough,
  type ModelProfile,
} from '../../scheduler/index.js';

/** Shapes of one sample, by the model's input; and of its target. */
export interface SampleShapes {
  readonly inputs: ReadonlyMap<string, readonly number[]>;
  readonly target: readonly number[];
}

/** The shapes of a data set's samples under the names of the model's inputs. */
export function sampleShapes(graph: Graph, dataset: Dataset): SampleShapes {
  const inputs = dataset.inputs.map(({ name, sampleShape }, i): [string, readonly number[]] => {
    const input = name ?? graph.inputs[i]?.name;
    if (input === undefined) throw new InvariantError('the data has more inputs than the model');
    return [input, sampleShape];
  });
  return { inputs: new Map(inputs), target: dataset.target.sampleShape };
}

/** The shapes of `samples` samples, as training graphs are asked for them. */
export function shapesOf({ inputs, target }: SampleShapes, samples: number) {
  return {
    shapes: Object.fromEntries([...inputs].map(([name, shape]) => [name, [samples, ...shape]])),
    targetShape: [samples, ...target],
  };
}

/** The larger of the two batches that are looked at. */
export function largerBatch(batch: number): number {
  return Math.max(2, batch);
}

export interface Profiled {
  readonly profile: ModelProfile;
  /** The graph of the larger of the two batches that were looked at. */
  readonly training: TrainingGraph;
}

/**
 * What the planner needs to know of a model: numbers read off its training graph for two batch sizes, half of the
 * batch and all of it, with a line through both.
 * @param trained parameters to differentiate by
 * @throws BindingError, ShapeError, LossError, UnsupportedOperatorError
 */
export function profileModel(
  graph: Graph,
  shapes: SampleShapes,
  job: { readonly loss: LossKind; readonly batch: number; readonly optimizer: OptimizerConfig } & Pick<
    JobSpec,
    'communication'
  >,
  trained: readonly string[],
  datasetBytes: number,
): Profiled {
  const small = Math.max(1, Math.floor(job.batch / 2));
  const large = largerBatch(job.batch);
  const build = (samples: number) =>
    buildTrainingGraph(graph, {
      loss: job.loss,
      ...shapesOf(shapes, samples),
      parameters: trained,
    });
  const bucketBytes = job.communication?.bucketBytes ?? DEFAULT_BUCKET_BYTES;
  const measured = (samples: number): Step => {
    const training = build(samples);
    return { training, cut: cut(training, bucketBytes) };
  };
  const [first, last] = [measured(small), measured(large)];
  const line = (measure: (step: Step) => number) =>
    lineThrough({ samples: small, value: measure(first) }, { samples: large, value: measure(last) });
  const bytesOf = (some: Iterable<string>) =>
    [...some].reduce((sum, name) => sum + byteLengthOf(graph.parameters.get(name)!), 0);
  const profile: ModelProfile = {
    parameterBytes: bytesOf(graph.parameters.keys()),
    trainedBytes: bytesOf(last.training.gradients.keys()),
    flopsPerSample: flopsOf(last.training.graph) / large,
    activationBytes: line(({ cut }) =>
      cut.segments.reduce((sum, segment) => sum + peakActivationBytes(segment), 0),
    ),
    crossingBytes: line(({ cut }) => cut.crossingBytes),
    batchBytes: line(({ training }) => batchBytesOf(training)),
    stateFactor: stateFactorOf(job.optimizer),
    datasetBytes,
  };
  return { profile, training: last.training };
}

interface Step {
  readonly training: TrainingGraph;
  readonly cut: Segments;
}

/** The step as the ranks will run it. */
function cut(training: TrainingGraph, bucketBytes: number): Segments {
  const parameters = gradientOrder(training).map((name) => ({
    name,
    type: training.graph.parameters.get(name)!,
  }));
  const buckets = layoutBuckets(parameters, bucketBytes);
  return cutIntoSegments(
    training,
    buckets.map((bucket) => bucket.places.map((place) => place.name)),
  );
}

/** Inputs, target and masks of one step, and the statistics that come back. */
function batchBytesOf({ graph, statistics }: TrainingGraph): number {
  const results = statistics.flatMap(({ mean, variance }) => [mean.output, variance.output]);
  return [...graph.inputs.filter((name) => name !== LOSS_SCALE), ...results].reduce(
    (sum, name) => sum + byteLengthOf(graph.types.get(name)!),
    0,
  );
}

/** Optimizer state beside each parameter. */
export function stateFactorOf(optimizer: OptimizerConfig): number {
  switch (optimizer.kind) {
    case 'sgd':
      return (optimizer.momentum ?? 0) > 0 ? 1 : 0;
    case 'adam':
    case 'adamw':
      return 2;
  }
}
