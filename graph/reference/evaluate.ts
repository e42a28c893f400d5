import type { TypedGraph } from '../ir/graph.js';
import type { Reference } from '../operators/definition.js';
import { standardOperators, type OperatorRegistry } from '../operators/index.js';
import { startValues, steps, valueOf } from './step.js';

/**
 * Runs a typed graph in float64, node by node, after each operator's obvious meaning. Slow; what engines are
 * compared with. Nothing is rounded between nodes.
 *
 * @param values a value for every input and every parameter
 * @returns the graph's outputs by name
 * @throws InvariantError where a value is missing or of another type than the graph says
 */
export function evaluate(
  typed: TypedGraph,
  values: ReadonlyMap<string, Reference>,
  operators: OperatorRegistry = standardOperators,
): Map<string, Reference> {
  const known = startValues(typed, values);
  const run = steps(typed, known, { operators });
  while (!run.next().done);
  return new Map(typed.outputs.map((name) => [name, valueOf(known, name)]));
}
