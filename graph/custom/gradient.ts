import { ShapeError } from '../errors.js';
import type { Attributes, Node } from '../ir/graph.js';
import type { CustomNode } from './definition.js';
import { readsOf } from './meaning.js';
import { gradientName, givenAttributes, launchOf, usedOperands, withCustom } from './node.js';

/** What the gradient of an operator's input is written with: a node, and what is done with its result. */
export interface GradientNode {
  readonly operator: string;
  readonly domain: string;
  /** Operands that its kernel does not look at are omitted. */
  readonly inputs: readonly string[];
  readonly attributes: Attributes;
  /** Whether the result is y's shape and is summed to the input's. */
  readonly sums: boolean;
}

/**
 * The node that computes the gradient of input `at`; undefined where it is zero.
 * @param dy the gradient of the node's output
 */
export function gradientNode(
  node: Node,
  { operator }: CustomNode,
  at: number,
  dy: string,
): GradientNode | undefined {
  const gradient = operator.gradients[at];
  const part = operator.inputs[at];
  if (!gradient || part === undefined)
    throw new ShapeError(node, `has an input ${at}; ${operator.inputs.length} would be accepted`);
  if (gradient.kind === 'none') return undefined;
  const custom = { operator, part };
  const launch = launchOf(custom);
  const used = usedOperands(launch, readsOf(gradient.kernel));
  // the type of the result is that of an operand: it has to be there
  const shaped = gradient.kind === 'own' ? at + 1 : 0;
  const operands = [dy, ...node.inputs, node.outputs[0]!];
  return {
    operator: gradientName(operator, part),
    domain: node.domain,
    inputs: operands.map((name, i) => (used[i] || i === shaped ? name : '')),
    attributes: withCustom(givenAttributes(node.attributes), custom),
    sums: gradient.kind === 'sum',
  };
}
