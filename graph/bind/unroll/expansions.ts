import { bodiesOf, isSequence } from '../../ir/body.js';
import type { Node } from '../../ir/graph.js';
import { branch } from './branch.js';
import { loop } from './loop.js';
import { cannotUnroll } from './refuse.js';
import { scan } from './scan.js';
import { sequenceOperators } from './sequence.js';
import type { Expansion } from './unroller.js';

const BODIES: Readonly<Record<string, Expansion>> = { If: branch, Loop: loop, Scan: scan };

/**
 * How a node is written out; undefined where it is a plain operator.
 * @throws ModelError for a body in an operator that has none
 */
export function expansionOf(node: Node): Expansion | undefined {
  if (isSequence(node)) return sequenceOperators[node.operator];
  if (node.domain === '' && Object.hasOwn(BODIES, node.operator)) return BODIES[node.operator];
  if (bodiesOf(node).length === 0) return undefined;
  throw cannotUnroll(node, 'it has a body', 'If, Loop, Scan and SequenceMap would be accepted');
}
