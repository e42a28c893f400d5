import type { Graph, TypedGraph } from '../ir/graph.js';
import { standardOperators, type OperatorRegistry } from '../operators/index.js';
import { Binder } from './binder.js';
import { bindInputs, type Binding } from './inputs.js';
import { unroll } from './unroll/index.js';

/**
 * Gives a graph one choice of input shapes: infers the type of every value, computes whatever follows from
 * constants and shapes, writes branches and loops out, and drops nodes that no output needs, identities and dropouts outside training.
 *
 * Guarantees: the outputs keep their names and order, and are computed by nodes unless they are inputs;
 * float parameters are never folded and keep their names and order; linear in the number of nodes.
 *
 * @param binding `batch` rebinds the first dimension of the data inputs; `shapes` gives whole shapes by name
 * @throws BindingError, ShapeError, UnsupportedOperatorError (every such operator at once), ModelError for a branch or
 *   loop that cannot be written out
 */
export function bindGraph(
  graph: Graph,
  binding: Binding = {},
  operators: OperatorRegistry = standardOperators,
): TypedGraph {
  const inputs = bindInputs(graph, binding);
  return new Binder(unroll(graph, inputs, operators), operators, inputs).bind();
}

export type { Binding } from './inputs.js';
