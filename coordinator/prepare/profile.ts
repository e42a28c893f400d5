import {
  buildTrainingGraph,
  byteLengthOf,
  LOSS_SCALE,
  peakActivationBytes,
  type Graph,
  type LossKind,
  type TrainingGraph,
} from '../../graph/index.js';
import type { OptimizerConfig } from '../../protocol/index.js';
import { flopsOf, lineThrough, type ModelProfile } from '../../scheduler/index.js';

/** Shapes of one sample, by the model's input; and of its target. */
export interface SampleShapes {
  readonly inputs: ReadonlyMap<string, readonly number[]>;
  readonly target: readonly number[];
}

export interface Profiled {
  readonly profile: ModelProfile;
  /** The graph of the larger of the two batches that were looked at. */
  readonly training: TrainingGraph;
}

/**
 * What the planner needs to know of a model: numbers read off its training graph for two batch sizes, half of the
 * batch and all of it, with a line through both.
 * @throws BindingError, ShapeError, LossError, UnsupportedOperatorError
 */
export function profileModel(
  graph: Graph,
  shapes: SampleShapes,
  job: { readonly loss: LossKind; readonly batch: number; readonly optimizer: OptimizerConfig },
  datasetBytes: number,
): Profiled {
  const small = Math.max(1, Math.floor(job.batch / 2));
  const large = Math.max(2, job.batch);
  const build = (samples: number) =>
    buildTrainingGraph(graph, {
      loss: job.loss,
      shapes: Object.fromEntries([...shapes.inputs].map(([name, shape]) => [name, [samples, ...shape]])),
      targetShape: [samples, ...shapes.target],
    });
  const [first, training] = [build(small), build(large)];
  const line = (measure: (built: TrainingGraph) => number) =>
    lineThrough({ samples: small, value: measure(first) }, { samples: large, value: measure(training) });
  const parameterBytes = [...graph.parameters.values()].reduce(
    (sum, tensor) => sum + byteLengthOf(tensor),
    0,
  );
  const profile: ModelProfile = {
    parameterBytes,
    flopsPerSample: flopsOf(training.graph) / large,
    activationBytes: line((built) => peakActivationBytes(built.graph)),
    batchBytes: line((built) => batchBytesOf(built)),
    stateFactor: stateFactorOf(job.optimizer),
    datasetBytes,
  };
  return { profile, training };
}

/** Inputs, target and masks of one step. */
function batchBytesOf({ graph }: TrainingGraph): number {
  return graph.inputs
    .filter((name) => name !== LOSS_SCALE)
    .reduce((sum, name) => sum + byteLengthOf(graph.types.get(name)!), 0);
}

/** Optimizer state beside each parameter. */
function stateFactorOf(optimizer: OptimizerConfig): number {
  switch (optimizer.kind) {
    case 'sgd':
      return (optimizer.momentum ?? 0) > 0 ? 1 : 0;
    case 'adam':
    case 'adamw':
      return 2;
  }
}
