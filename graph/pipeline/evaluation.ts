import { decompose } from '../decompose/index.js';
import { Formula } from '../formula/index.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Graph, TypedGraph } from '../ir/graph.js';
import type { Tensor, TensorType } from '../ir/tensor.js';
import { attachLoss } from '../loss/index.js';
import { standardOperators } from '../operators/index.js';
import { removeDeadCode, simplify } from '../passes/index.js';
import {
  bindForward,
  lossOptions,
  lowerForEngines,
  nameOutputs,
  runningStatistics,
  setBatchNormalization,
  setDropout,
  withoutUnreadStatistics,
  type LossGraphOptions,
} from '../training/index.js';
import { divide } from './boundary.js';
import { crossingAt, partOf, type Edge } from './part.js';

export interface EvaluationStageOptions extends LossGraphOptions {
  /** As in StageOptions. */
  readonly stages: readonly (readonly string[])[];
}

/** What a stage does where the model only predicts. */
export interface EvaluationStage {
  /** Inputs: data, received values, `running`; in the last stage the target. Outputs: `sends`, or loss and output. */
  readonly graph: TypedGraph;
  /** From the stage before. */
  readonly receives: readonly Edge[];
  /** To the stage after. */
  readonly sends: readonly Edge[];
  /** Parameters that the stage uses, in the model's order. */
  readonly parameters: readonly string[];
  /** Inputs that are running statistics of the training: those of `runningStatistics` that the stage reads. */
  readonly running: readonly string[];
  /** The last stage's: the input for the target, the outputs that hold the mean loss and the model's output. */
  readonly target?: { readonly name: string; readonly type: TensorType };
  readonly loss?: string;
  readonly output?: string;
}

/**
 * Cuts `buildEvaluationGraph` into the stages of `buildStages`: run one after the other, the stages compute what it
 * does, up to rounding.
 *
 * A value that crosses a boundary in both modes has the same name and meaning in both; but the modes may differ in
 * which values cross: what stands behind a dropout in training stands before it here.
 * @throws StageError where the stages do not follow each other; and what buildEvaluationGraph throws
 */
export function buildEvaluationStages(
  graph: Graph,
  options: EvaluationStageOptions,
): readonly EvaluationStage[] {
  const state = runningStatistics(graph);
  const bound = removeDeadCode(
    bindForward(setBatchNormalization(setDropout(graph, false), 'freeze'), state, options),
  );
  const division = divide(bound, { model: graph, stages: options.stages, state });
  return options.stages.map((_, stage) => {
    const { received, sent } = crossingAt(division, stage);
    const isLast = stage === options.stages.length - 1;
    const part = partOf(bound, division, stage);
    const { graph: named, target } = isLast
      ? withLoss(part, { bound, state, options })
      : { graph: withSent(part, state, sent), target: undefined };
    const edge = (value: string, at: string): Edge => ({ value, type: bound.types.get(value)!, at });
    return {
      graph: named,
      receives: received.map((value) => edge(value, value)),
      sends: sent.map((value, i) => edge(value, named.outputs[i]!)),
      parameters: [...named.parameters.keys()],
      running: named.inputs.filter((name) => state.has(name)),
      ...(target ? { target, loss: named.outputs[0]!, output: named.outputs[1]! } : {}),
    };
  });
}

function withSent(part: TypedGraph, state: ReadonlyMap<string, Tensor>, sent: readonly string[]): TypedGraph {
  const whole = lowerForEngines(simplify(decompose(part)));
  const names = sent.map((name) => ({ name, terminal: false }));
  return nameOutputs(withoutUnreadStatistics(whole, state), names);
}

interface Around {
  readonly bound: TypedGraph;
  readonly state: ReadonlyMap<string, Tensor>;
  readonly options: LossGraphOptions;
}

function withLoss(part: TypedGraph, { bound, state, options }: Around) {
  const forward = simplify(decompose(part));
  const builder = new GraphBuilder(standardOperators, forward);
  const output = forward.outputs[0]!;
  const loss = attachLoss(new Formula(builder), options.loss, output, lossOptions(builder, options, bound));
  const whole = lowerForEngines(builder.build(part.name, [loss.loss, output]));
  const graph = nameOutputs(withoutUnreadStatistics(whole, state), [
    { name: 'loss', terminal: false },
    { name: part.outputs[0]!, terminal: false },
  ]);
  return { graph, target: loss.target };
}
