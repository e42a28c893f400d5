import { bindGraph } from '../bind/index.js';
import { BindingError, ShapeError, UnsupportedOperatorError } from '../errors.js';
import type { Graph, TypedGraph } from '../ir/graph.js';
import { checkOperator, type OperatorUse } from './check.js';
import { titleOf } from './definition.js';
import { customOf, givenAttributes } from './node.js';

/** Samples for which the model is bound: two, so that what mixes them up shows. */
const SAMPLES = 2;
/** Different uses of one operator that are checked. */
const MOST_USES = 4;

/**
 * Checks the gradients of a model's own operators by finite differences, as the model uses them (`checkOperator`): with
 * its shapes and attributes. Nothing is checked of a model whose shapes do not fit: whoever binds it says why.
 * @returns how many uses were checked
 * @throws OperatorError
 */
export function checkOperators(graph: Graph): number {
  if (!graph.nodes.some(customOf)) return 0;
  const bound = boundForCheck(graph);
  if (!bound) return 0;
  const uses = new Map<string, OperatorUse>();
  const counts = new Map<string, number>();
  for (const node of bound.nodes) {
    const custom = customOf(node);
    if (!custom) continue;
    const shapes = node.inputs.map((input) => bound.types.get(input)!.shape);
    const attributes = givenAttributes(node.attributes);
    const title = titleOf(custom.operator);
    const key = JSON.stringify([title, shapes, attributes]);
    const count = counts.get(title) ?? 0;
    if (uses.has(key) || count >= MOST_USES) continue;
    counts.set(title, count + 1);
    uses.set(key, { operator: custom.operator, shapes, attributes });
  }
  for (const use of uses.values()) checkOperator(use);
  return uses.size;
}

function boundForCheck(graph: Graph): TypedGraph | undefined {
  const symbols = graph.inputs.some(({ shape }) => shape.some((dim) => typeof dim === 'string'));
  try {
    return bindGraph(graph, symbols ? { batch: SAMPLES } : {});
  } catch (error) {
    const expected = [BindingError, ShapeError, UnsupportedOperatorError];
    if (expected.some((each) => error instanceof each)) return undefined;
    throw error;
  }
}
