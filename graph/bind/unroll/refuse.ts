import { ModelError } from '../../errors.js';
import type { Node } from '../../ir/graph.js';

/** Says of a branch, a loop or a list why it cannot be written out, and what to export instead. */
export function cannotUnroll(node: Node, why: string, instead: string): ModelError {
  return new ModelError(
    `node "${node.name}" (${node.operator}) cannot be written out in plain operators before training: ${why}. ${instead}`,
    { ids: { node: node.name } },
  );
}
