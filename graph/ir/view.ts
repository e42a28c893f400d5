import type { Node } from './graph.js';

const VIEWS: ReadonlySet<string> = new Set(['Reshape', 'Squeeze', 'Unsqueeze', 'Flatten', 'Identity']);

/** Whether a node's output is its input's memory: it costs nothing to compute, and nothing to keep. */
export function isView({ operator, domain }: Pick<Node, 'operator' | 'domain'>): boolean {
  return domain === '' && VIEWS.has(operator);
}
