import type { Node, TypedGraph } from '../../ir/graph.js';
import type { TensorType } from '../../ir/tensor.js';
import type { Atom } from './rule.js';
import { splitRuleOf } from './rules/index.js';

/** What a node needs of its values at once, where splitting does what it can. Values that it leaves out have no bound. */
export function atomsOf(graph: TypedGraph, node: Node): readonly Atom[] {
  const typeOf = (value: string): TensorType => graph.types.get(value)!;
  const rule = splitRuleOf(node, typeOf);
  if (rule) return rule.atoms?.(node, typeOf) ?? [];
  return [...node.inputs, ...node.outputs]
    .filter((value) => graph.types.has(value))
    .map((value) => ({ value, shape: typeOf(value).shape }));
}
