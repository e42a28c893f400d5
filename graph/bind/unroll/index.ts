import { liveValues } from '../live.js';
import { Binder } from '../binder.js';
import type { BoundInputs } from '../inputs.js';
import type { Graph } from '../../ir/graph.js';
import type { OperatorRegistry } from '../../operators/index.js';
import { expansionOf } from './expansions.js';
import { Unroller } from './unroller.js';

/** Wants every value: which branch needs what is not known before it is written out. */
const EVERYTHING = { has: (name: string) => name !== '' };

/**
 * The graph without branches, loops and lists of tensors: what runs for inputs of these shapes, written out.
 *
 * Guarantees: parameters stay parameters, whatever loop uses them (their gradients sum over its runs); the values of
 * the outputs are those of the graph; at most MOST_UNROLLED nodes. A graph that has none of these is returned as it
 * is.
 * @throws ModelError naming the node, why it cannot be written out, and what to export instead
 */
export function unroll(graph: Graph, inputs: BoundInputs, operators: OperatorRegistry): Graph {
  const live = liveValues(graph);
  const expands = graph.nodes.some(
    (node) => node.outputs.some((output) => live.has(output)) && expansionOf(node) !== undefined,
  );
  if (!expands) return graph;
  // without outputs: what is known of one stays known, where a node would have to compute it
  const binder = new Binder({ ...graph, outputs: [] }, operators, inputs, EVERYTHING);
  return new Unroller(graph, operators, binder, expansionOf).unroll();
}
