import { UnsupportedOperatorError } from '../errors.js';
import { readsOf } from '../ir/body.js';
import type { Graph, Node } from '../ir/graph.js';
import type { OperatorDefinition, OperatorRegistry } from '../operators/index.js';

/** Every value that some output depends on. Nodes are in topological order, so one backward pass finds them. */
export function liveValues(graph: Pick<Graph, 'nodes' | 'outputs'>): ReadonlySet<string> {
  const live = new Set(graph.outputs.map((output) => output.name));
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((output) => live.has(output))) continue;
    for (const input of readsOf(node)) live.add(input);
  }
  live.delete('');
  return live;
}

/** @throws UnsupportedOperatorError naming every operator that has no definition, with its nodes */
export function definitionsOf(
  nodes: readonly Node[],
  operators: OperatorRegistry,
): readonly OperatorDefinition[] {
  const unknown = new Map<string, string[]>();
  const found = nodes.flatMap((node) => {
    const definition = operators.find(node);
    if (definition) return [definition];
    const operator = node.domain === '' ? node.operator : `${node.domain}.${node.operator}`;
    const names = unknown.get(operator);
    if (names) names.push(node.name);
    else unknown.set(operator, [node.name]);
    return [];
  });
  if (unknown.size === 0) return found;
  throw new UnsupportedOperatorError(
    [...unknown].map(([operator, names]) => ({ operator, nodes: names })),
    'definition',
  );
}
