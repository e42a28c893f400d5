import type { Node } from '../../../ir/graph.js';
import type { TensorType } from '../../../ir/tensor.js';
import type { SplitRule, SplitRules } from '../rule.js';
import { ELEMENTWISE } from './elementwise.js';
import { INDEXING } from './indexing.js';
import { MOVEMENT } from './movement.js';
import { PRODUCTS } from './products.js';
import { REDUCTIONS } from './reductions.js';
import { ROWS } from './rows.js';

/** Rules by operator of ai.onnx. */
const RULES: SplitRules = {
  ...ELEMENTWISE,
  ...INDEXING,
  ...MOVEMENT,
  ...PRODUCTS,
  ...REDUCTIONS,
  ...ROWS,
};

/** How a node is computed in parts; undefined where it is not. */
export function splitRuleOf(node: Node, typeOf: (value: string) => TensorType): SplitRule | undefined {
  if (node.domain !== '' || !Object.hasOwn(RULES, node.operator)) return undefined;
  const rule = RULES[node.operator]!;
  return rule.takes?.(node, typeOf) === false ? undefined : rule;
}
