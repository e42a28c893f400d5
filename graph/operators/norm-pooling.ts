import { ShapeError } from '../errors.js';
import { intAttribute, type Node } from '../ir/graph.js';
import type { OperatorDefinition } from './definition.js';
import { define } from './operands.js';
import { overSpace, overWindows, pooled } from './pooling.js';

/** The exponent of a p-norm. @throws ShapeError below 1 */
function exponentOf(node: Node): number {
  const p = intAttribute(node, 'p', 2);
  if (p >= 1) return p;
  throw new ShapeError(node, `p is ${p}; an integer of at least 1 would be accepted`);
}

/** (sum |x|^p)^(1/p) */
function norm(values: Iterable<number>, p: number): number {
  let sum = 0;
  for (const x of values) sum += Math.abs(x) ** p;
  return sum ** (1 / p);
}

/** LpPool: the p-norm of what is under each window; padding adds nothing. */
const lpPool = define(
  'LpPool',
  (node, inputs) => {
    exponentOf(node);
    return [pooled(node, inputs, 'float').y];
  },
  (node, inputs, [type]) => {
    const p = exponentOf(node);
    return [overWindows(node, inputs, type!, (seen) => norm(seen, p))];
  },
);

/** GlobalLpPool: the p-norm of all of a channel's space. */
const globalLpPool = overSpace('GlobalLpPool', (block, node) => norm(block, exponentOf(node)), exponentOf);

export const normPoolingOperators: readonly OperatorDefinition[] = [lpPool, globalLpPool];
