import type { Node } from '../ir/graph.js';
import type { TrainingGraph } from './build.js';

/**
 * The node of a model that a node of its training graph was written for: itself, or the one whose name its own begins
 * with (`conv1` for `conv1/grad/Conv`, see GraphBuilder.within). Undefined for nodes of the loss and for sums of gradients.
 * @param own names of the model's nodes
 */
export function originOf(name: string, own: ReadonlySet<string>): string | undefined {
  for (let end = name.length; end > 0; end = name.lastIndexOf('/', end - 1)) {
    const origin = name.slice(0, end);
    if (own.has(origin)) return origin;
  }
  return undefined;
}

/** The nodes on which the loss, the model's output or a running statistic depends; the others make up the backward pass. */
export function forwardNodes({
  graph,
  loss,
  output,
  statistics,
}: Pick<TrainingGraph, 'graph' | 'loss' | 'output' | 'statistics'>): ReadonlySet<Node> {
  const needed = new Set([
    loss,
    ...statistics.flatMap(({ mean, variance }) => [mean.output, variance.output]),
  ]);
  if (output !== undefined) needed.add(output);
  const forward = new Set<Node>();
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some((name) => needed.has(name))) continue;
    forward.add(node);
    for (const input of node.inputs) if (input !== '') needed.add(input);
  }
  return forward;
}
