import { bindGraph, type Binding } from '../bind/index.js';
import { decompose } from '../decompose/index.js';
import type { Formula } from '../formula/index.js';
import { batchStatistics } from '../gradient/index.js';
import type { GraphBuilder } from '../ir/builder.js';
import type { Graph, Node, TypedGraph } from '../ir/graph.js';
import type { Tensor } from '../ir/tensor.js';
import type { LossKind } from '../loss/index.js';
import { rewrite, simplify, tidy } from '../passes/index.js';
import { lowerDropout, type DropoutMask } from './dropout.js';
import {
  dropStops,
  lowerBatchNormalization,
  lowerNormalization,
  lowerPRelu,
  saveRowStatistics,
} from './lowering.js';
import { ownStatistics, statisticsAsInputs, statisticsOf } from './running-statistics.js';

/**
 * The scalar input (float32; the output's type in a model of another) that every gradient is multiplied by: a
 * rank's share of the global batch.
 */
export const LOSS_SCALE = 'loss_scale';
/** The name of the target's input, unless the model has such a name already. */
const TARGET = 'target';

export interface LossGraphOptions extends Binding {
  readonly loss: LossKind;
  /** The target's shape, batch included, where the model's output does not tell it: see `targetTypeOf`. */
  readonly targetShape?: readonly number[];
  /** Which output of the model the loss compares; the first where absent. */
  readonly output?: string;
}

/** The typed graph with the one output that the loss compares, and the running statistics as inputs. */
export function bindForward(
  graph: Graph,
  state: ReadonlyMap<string, Tensor>,
  { batch, shapes, output }: LossGraphOptions,
): TypedGraph {
  const binding = { ...(batch === undefined ? {} : { batch }), ...(shapes === undefined ? {} : { shapes }) };
  const typed = statisticsAsInputs(bindGraph(ownStatistics(graph, state), binding), state);
  return { ...typed, outputs: [output ?? typed.outputs[0]!] };
}

/**
 * A forward pass as it is differentiated: only operators with rules, in few and large ones, dropouts as masks.
 * @param firstMask number of the first mask, where the graph is a part of a model
 */
export function prepareForward(
  typed: TypedGraph,
  firstMask = 0,
): { readonly forward: TypedGraph; readonly masks: readonly DropoutMask[] } {
  const { typed: lowered, masks } = lowerDropout(simplify(decompose(typed)), firstMask);
  return { forward: rewrite(lowered, [saveRowStatistics]), masks };
}

/** A forward pass, or forward and backward, in operators that every engine runs, tidied. */
export function lowerForEngines(whole: TypedGraph): TypedGraph {
  return tidy(rewrite(whole, [dropStops, lowerBatchNormalization, lowerNormalization, lowerPRelu]));
}

/** Writes down what a BatchNormalization that trains finds in the batch: tidying merges it with the node's own. */
export function batchOf(f: Formula, node: Node) {
  const { mean, variance } = batchStatistics(f, node.inputs[0]!);
  const perChannel = (value: string, at: number) => ({
    buffer: node.inputs[at]!,
    value: f.cast(f.reshape(value, f.shapeOf(node.inputs[at]!)), f.typeOf(node.inputs[at]!).dtype),
  });
  return {
    ...statisticsOf(node, f.shapeOf(node.inputs[0]!)),
    mean: perChannel(mean, 3),
    variance: perChannel(variance, 4),
  };
}

/** @param model where the graph is a part of one: the target has a name that is free in all of it */
export function lossOptions(
  builder: GraphBuilder,
  { targetShape }: LossGraphOptions,
  model?: Pick<TypedGraph, 'types'>,
) {
  let target = TARGET;
  for (let n = 0; builder.has(target) || model?.types.has(target); n++) target = `${TARGET}_${n}`;
  return targetShape === undefined ? { target } : { target, targetShape };
}
