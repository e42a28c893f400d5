import { decompose } from '../decompose/index.js';
import { Formula } from '../formula/index.js';
import { differentiate } from '../gradient/index.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Graph, TypedGraph } from '../ir/graph.js';
import type { TensorType } from '../ir/tensor.js';
import { attachLoss } from '../loss/index.js';
import { standardOperators } from '../operators/index.js';
import { simplify } from '../passes/index.js';
import { setDropout, type DropoutMask } from './dropout.js';
import {
  batchOf,
  bindForward,
  LOSS_SCALE,
  lossOptions,
  lowerForEngines,
  prepareForward,
  type LossGraphOptions,
} from './forward.js';
import { nameOutputs, type OutputName } from './name-outputs.js';
import {
  runningStatistics,
  setBatchNormalization,
  usesBatch,
  withoutUnreadStatistics,
  type BatchStatistics,
} from './running-statistics.js';

/** The name of the loss, unless the model has such a name already. */
const LOSS = 'loss';

export interface TrainingOptions extends LossGraphOptions {
  /** Whether the model's output is an output of the training graph too. */
  readonly includeOutput?: boolean;
  /** Parameters to differentiate by; all where absent. */
  readonly parameters?: Iterable<string>;
}

/** A model's forward pass with a loss. */
export interface EvaluationGraph {
  /** Inputs: the model's data inputs, the target and `running`. Outputs: the loss and the model's output. */
  readonly graph: TypedGraph;
  readonly target: { readonly name: string; readonly type: TensorType };
  /** The output that holds the mean loss of the local batch, a scalar. */
  readonly loss: string;
  /** The output that holds the model's output. */
  readonly output: string;
  /** Inputs that are running statistics of the training: those of `runningStatistics` that the graph reads. */
  readonly running: readonly string[];
}

/** Forward and backward pass of a model for one batch size. */
export interface TrainingGraph {
  /**
   * Inputs: the model's data inputs, the target, LOSS_SCALE, the masks of `dropout` and `running`.
   * Outputs: the loss, the model's output if it was asked for, one gradient for each entry of `gradients`, and the
   * mean and the variance of each entry of `statistics`.
   */
  readonly graph: TypedGraph;
  readonly target: { readonly name: string; readonly type: TensorType };
  /** The output that holds the mean loss of the local batch, a scalar that LOSS_SCALE does not touch. */
  readonly loss: string;
  readonly output: string | undefined;
  /**
   * Parameter to the output that holds LOSS_SCALE * d loss / d parameter, of the parameter's type. Outputs are
   * distinct, and no node uses them.
   */
  readonly gradients: ReadonlyMap<string, string>;
  /** Parameters on which the loss does not depend; their gradient is zero and is not computed. */
  readonly withoutGradient: readonly string[];
  readonly dropout: readonly DropoutMask[];
  /**
   * What the BatchNormalizations that train found in the batch, in the graph's order: whoever runs the graph folds
   * it into their running statistics after each step. Those that share statistics are folded one after the other.
   */
  readonly statistics: readonly BatchStatistics[];
  /** As in EvaluationGraph: read where a node that does not train shares the statistics of one that does. */
  readonly running: readonly string[];
}

/**
 * Binds a model to a batch size, attaches a loss and differentiates it by its parameters.
 *
 * Guarantees: only standard operators; the loss is not scaled, the gradients are; every Dropout drops.
 * @throws BindingError, ShapeError, LossError, ModelError (see `runningStatistics`), UnsupportedOperatorError (all operators without a gradient rule)
 */
export function buildTrainingGraph(graph: Graph, options: TrainingOptions): TrainingGraph {
  const state = runningStatistics(graph);
  const bound = bindForward(setDropout(graph, true), state, options);
  const { forward, masks } = prepareForward(bound);

  const builder = new GraphBuilder(standardOperators, forward);
  const f = new Formula(builder);
  const output = forward.outputs[0]!;
  const loss = builder.within('loss', () =>
    attachLoss(f, options.loss, output, lossOptions(builder, options)),
  );
  const scale = builder.input(LOSS_SCALE, { dtype: f.typeOf(output).dtype, shape: [] });
  const wanted = [...(options.parameters ?? forward.parameters.keys())].filter((name) =>
    forward.parameters.has(name),
  );
  const found = differentiate(
    builder,
    forward.nodes,
    new Map([[output, builder.within('loss/grad', () => loss.gradient(scale))]]),
    wanted,
  );
  const batches = forward.nodes.filter(usesBatch).map((node) => batchOf(f, node));

  const values: { value: string; as: OutputName }[] = [
    { value: loss.loss, as: { name: LOSS, terminal: false } },
    ...(options.includeOutput ? [{ value: output, as: { name: bound.outputs[0]!, terminal: false } }] : []),
    ...[...found].map(([parameter, value]) => ({ value, as: { name: `grad.${parameter}`, terminal: true } })),
    ...batches.flatMap(({ mean, variance }) =>
      [mean, variance].map(({ buffer, value }) => ({
        value,
        as: { name: `batch.${buffer}`, terminal: false },
      })),
    ),
  ];
  const whole = builder.build(
    graph.name,
    values.map(({ value }) => value),
  );
  const lowered = withoutUnreadStatistics(lowerForEngines(whole), state);
  const named = nameOutputs(
    lowered,
    values.map(({ as }) => as),
  );
  const first = options.includeOutput ? 2 : 1;
  const firstBatch = first + found.size;
  return {
    graph: named,
    target: loss.target,
    loss: named.outputs[0]!,
    output: options.includeOutput ? named.outputs[1] : undefined,
    gradients: new Map([...found.keys()].map((parameter, i) => [parameter, named.outputs[first + i]!])),
    withoutGradient: [...graph.parameters.keys()].filter((parameter) => !found.has(parameter)),
    dropout: masks,
    statistics: batches.map(({ mean, variance, ...rest }, i) => ({
      ...rest,
      mean: { buffer: mean.buffer, output: named.outputs[firstBatch + 2 * i]! },
      variance: { buffer: variance.buffer, output: named.outputs[firstBatch + 2 * i + 1]! },
    })),
    running: named.inputs.filter((name) => state.has(name)),
  };
}

/**
 * The forward pass with its loss, without gradients; no Dropout drops, and every BatchNormalization uses its running
 * statistics.
 * @throws BindingError, ShapeError, LossError
 */
export function buildEvaluationGraph(graph: Graph, options: LossGraphOptions): EvaluationGraph {
  const state = runningStatistics(graph);
  const bound = bindForward(setBatchNormalization(setDropout(graph, false), 'freeze'), state, options);
  const forward = simplify(decompose(bound));
  const builder = new GraphBuilder(standardOperators, forward);
  const f = new Formula(builder);
  const output = forward.outputs[0]!;
  const loss = builder.within('loss', () =>
    attachLoss(f, options.loss, output, lossOptions(builder, options)),
  );
  const whole = withoutUnreadStatistics(
    lowerForEngines(builder.build(graph.name, [loss.loss, output])),
    state,
  );
  const named = nameOutputs(whole, [
    { name: LOSS, terminal: false },
    { name: bound.outputs[0]!, terminal: false },
  ]);
  return {
    graph: named,
    target: loss.target,
    loss: named.outputs[0]!,
    output: named.outputs[1]!,
    running: named.inputs.filter((name) => state.has(name)),
  };
}
