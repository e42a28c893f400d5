import { InvariantError } from '../../base/index.js';
import { UnsupportedOperatorError } from '../errors.js';
import { outline } from '../ir/body.js';
import type { GraphBuilder } from '../ir/builder.js';
import type { Node } from '../ir/graph.js';
import { formatType, sameShape } from '../ir/tensor.js';
import { GradientContext } from './context.js';
import { Formula, isDifferentiable } from '../formula/index.js';
import { Contributions } from './contributions.js';
import { differentiability } from './rules/index.js';

/** Operators without a gradient rule on the way from parameters to the loss, with the nodes' names. */
export interface UnsupportedOperator {
  readonly operator: string;
  readonly nodes: readonly string[];
}

/**
 * Reverse-mode differentiation as a graph transformation: appends the nodes of the backward pass to `builder`.
 *
 * The walk visits `nodes` from the last to the first; where a value has several uses their gradients are added
 * (see Contributions). Only what lies on a way from `wrt` to a seed is visited, and only standard operators are written.
 * The nodes written for node N are named `N/grad/...`.
 *
 * @param nodes the forward pass in topological order, already in the builder
 * @param seeds gradients of the loss with respect to values of the forward pass
 * @param wrt values whose gradients are wanted (parameters)
 * @returns the gradient of each of `wrt` on which a seed depends, of exactly its type; the others have none (zero)
 * @throws UnsupportedOperatorError listing every node on such a way without a rule
 */
export function differentiate(
  builder: GraphBuilder,
  nodes: readonly Node[],
  seeds: ReadonlyMap<string, string>,
  wrt: Iterable<string>,
): ReadonlyMap<string, string> {
  const wanted = new Set(wrt);
  const needed = reachable(nodes, wanted, (value) => isDifferentiable(builder.typeOf(value).dtype));
  const missing = withoutRule(nodes, needed, seeds.keys());
  if (missing.length > 0) throw new UnsupportedOperatorError(missing, 'gradient rule');

  const gradients = new Contributions(new Formula(builder), seeds);
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    if (!node.outputs.some((output) => gradients.has(output))) continue;
    if (!node.inputs.some((input) => needed.has(input))) continue;
    const known = differentiability(node);
    if (known?.kind === 'decomposed') {
      throw new InvariantError(`node "${node.name}" (${node.operator}) must be decomposed first`);
    }
    if (known?.kind !== 'rule') continue;
    builder.within(`${node.name}/grad`, () => {
      const context = new GradientContext(
        builder,
        node,
        node.outputs.map((output) => gradients.total(output)),
        (input) => needed.has(node.inputs[input] ?? ''),
      );
      known.rule(context).forEach((gradient, input) => {
        const value = node.inputs[input] ?? '';
        if (gradient === undefined || !needed.has(value)) return;
        checkType(builder, node, value, gradient);
        gradients.add(value, gradient);
      });
    });
  }
  const found = new Map<string, string>();
  for (const value of wanted) {
    const gradient = builder.within(`${value}/grad`, () => gradients.total(value));
    if (gradient !== undefined) found.set(value, gradient);
  }
  return found;
}

/** Values that depend smoothly on one of `from`, `from` included. */
export function reachable(
  nodes: readonly Node[],
  from: ReadonlySet<string>,
  smooth: (value: string) => boolean = () => true,
): ReadonlySet<string> {
  const reached = new Set(from);
  for (const node of nodes) {
    if (!node.inputs.some((input) => reached.has(input)) || differentiability(node)?.kind === 'stop')
      continue;
    for (const output of node.outputs) if (output !== '' && smooth(output)) reached.add(output);
  }
  return reached;
}

function withoutRule(
  nodes: readonly Node[],
  needed: ReadonlySet<string>,
  ends: Iterable<string>,
): UnsupportedOperator[] {
  const live = new Set(ends);
  const missing: Node[] = [];
  for (let i = nodes.length - 1; i >= 0; i--) {
    const node = nodes[i]!;
    if (!node.outputs.some((output) => live.has(output))) continue;
    if (!node.inputs.some((input) => needed.has(input))) continue;
    const known = differentiability(node);
    if (known?.kind === 'stop') continue;
    if (!known) missing.push(node);
    for (const input of node.inputs) live.add(input);
  }
  const byOperator = new Map<string, string[]>();
  for (const { operator, domain, name } of missing.reverse()) {
    const full = domain === '' ? operator : `${domain}.${operator}`;
    byOperator.set(full, [...(byOperator.get(full) ?? []), name]);
  }
  return [...byOperator].map(([operator, names]) => ({ operator, nodes: names }));
}

/**
 * Operators without a gradient rule between `wrt` and `outputs`, in the order of the graph; empty where the graph
 * can be trained. Needs no types: it answers for a model as it was submitted.
 */
export function unsupportedOperators(graph: {
  readonly nodes: readonly Node[];
  readonly outputs: readonly (string | { readonly name: string })[];
  readonly parameters: ReadonlyMap<string, unknown>;
}): readonly UnsupportedOperator[] {
  const ends = graph.outputs.map((output) => (typeof output === 'string' ? output : output.name));
  const nodes = outline(graph.nodes);
  return withoutRule(nodes, reachable(nodes, new Set(graph.parameters.keys())), ends);
}

function checkType(builder: GraphBuilder, node: Node, value: string, gradient: string): void {
  const [want, got] = [builder.typeOf(value), builder.typeOf(gradient)];
  if (want.dtype === got.dtype && sameShape(want.shape, got.shape)) return;
  throw new InvariantError(
    `the gradient rule of ${node.operator} gave ${formatType(got)} for "${value}" of type ${formatType(want)} (node "${node.name}")`,
  );
}
