import { Formula } from '../formula/index.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Node, TypedGraph } from '../ir/graph.js';
import type { TensorType } from '../ir/tensor.js';
import { standardOperators } from '../operators/index.js';

/** What a rewriting rule may look at and write with, at one node. */
export interface Site {
  /** The node, with its inputs as they are called in the graph that is being written. */
  readonly node: Node;
  /** The type of the node's first output. */
  readonly type: TensorType;
  /**
   * How many nodes and outputs use a value of the new graph, at most: a use that a rule has done away with still
   * counts.
   */
  readonly uses: (value: string) => number;
  /** Writes into the new graph. */
  readonly f: Formula;
  /** The node of the new graph that computes a value. */
  readonly producer: (value: string) => Node | undefined;
}

/** Replaces a node by values (one per output), after writing what computes them; undefined keeps the node. */
export type RewriteRule = (site: Site) => readonly string[] | undefined;

/**
 * Copies a graph, node by node in order, offering each to the rules; the first that answers replaces it.
 * Nodes that nothing uses any more stay: see `removeDeadCode`.
 *
 * Guarantees: inputs and parameters keep their names; `outputs[i]` of the result has the value of `outputs[i]`
 * before, though perhaps another name; what a rule writes is named after the node that it stands for.
 */
export function rewrite(typed: TypedGraph, rules: readonly RewriteRule[]): TypedGraph {
  const builder = new GraphBuilder(standardOperators);
  const f = new Formula(builder);
  const uses = countUses(typed);
  const renamed = new Map<string, string>();
  const current = (value: string) => renamed.get(value) ?? value;
  for (const input of typed.inputs) builder.input(input, typed.types.get(input)!);
  for (const [name, type] of typed.parameters) builder.parameter(name, type);
  for (const [name, tensor] of typed.constants) builder.constant(tensor, name);
  for (const original of typed.nodes) {
    const node = { ...original, inputs: original.inputs.map(current) };
    const site: Site = {
      node,
      type: typed.types.get(original.outputs[0]!)!,
      // what a rule has written between two values has the one use that the rule made of it
      uses: (value) => uses.get(value) ?? 1,
      f,
      producer: (value) => builder.producerOf(value),
    };
    let replacement = builder.within(node.name, () => firstAnswer(rules, site));
    if (!replacement) {
      // a name that a rule's node took first must not be defined twice
      const outputs = node.outputs.map((output) =>
        builder.has(output) ? builder.freshName(output) : output,
      );
      replacement = builder.add(node.operator, node.inputs, node.attributes, {
        name: node.name,
        domain: node.domain,
        outputs,
      });
    }
    original.outputs.forEach((output, i) => {
      const value = replacement[i] ?? '';
      if (output === '' || value === output) return;
      renamed.set(output, value);
      uses.set(value, (uses.get(value) ?? 0) + (uses.get(output) ?? 0));
    });
  }
  return builder.build(typed.name, typed.outputs.map(current));
}

function firstAnswer(rules: readonly RewriteRule[], site: Site): readonly string[] | undefined {
  for (const rule of rules) {
    const replacement = rule(site);
    if (replacement) return replacement;
  }
  return undefined;
}

function countUses(typed: TypedGraph): Map<string, number> {
  const uses = new Map<string, number>();
  const count = (value: string) => uses.set(value, (uses.get(value) ?? 0) + 1);
  for (const node of typed.nodes) node.inputs.forEach(count);
  typed.outputs.forEach(count);
  return uses;
}
