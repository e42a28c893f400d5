import type { TypedGraph } from '../ir/graph.js';
import type { TensorType } from '../ir/tensor.js';
import { subgraph } from '../passes/index.js';
import type { Division } from './boundary.js';

/** A value that goes over a boundary, with what it is called in the stage's graphs. */
export interface Edge {
  /** Its name on the wire, the same on both sides. */
  readonly value: string;
  readonly type: TensorType;
  /** The input or output that holds it. */
  readonly at: string;
}

/** Values that a stage is sent by the one before, and those that it sends to the one after, in their order. */
export function crossingAt({ crossing }: Division, stage: number) {
  return { received: crossing[stage - 1] ?? [], sent: crossing[stage] ?? [] };
}

/**
 * The nodes of a stage as a graph of their own. Inputs: data, running statistics and received values; outputs: the
 * values to send, of the last stage the model's output.
 */
export function partOf(bound: TypedGraph, division: Division, stage: number): TypedGraph {
  const isLast = stage === division.nodes.length - 1;
  const outputs = isLast ? bound.outputs : crossingAt(division, stage).sent;
  return subgraph(bound, division.nodes[stage]!, outputs, `${bound.name}.stage${stage}`);
}
