import type { Node, TypedGraph } from '../ir/graph.js';
import type { TensorType } from '../ir/tensor.js';

export interface OutputName {
  /** What the output should be called; another name is found where it is taken. */
  readonly name: string;
  /** Whether no node may use the output: its value is then complete and final once its node has run. */
  readonly terminal: boolean;
}

/**
 * Gives the outputs names of our choice.
 *
 * Guarantees: the outputs are distinct, and each is computed by a node (a copy where it would be an input, a
 * constant, or a value that two outputs share).
 * @param wanted one entry per output, in their order
 */
export function nameOutputs(typed: TypedGraph, wanted: readonly OutputName[]): TypedGraph {
  const produced = new Set(typed.nodes.flatMap((node) => node.outputs));
  const used = new Set(typed.nodes.flatMap((node) => node.inputs));
  const taken = new Set(typed.types.keys());
  const renamed = new Map<string, string>();
  const copies: { from: string; to: string }[] = [];
  const outputs = typed.outputs.map((value, i) => {
    const { name: asked, terminal } = wanted[i]!;
    const isFree = produced.has(value) && !renamed.has(value) && !(terminal && used.has(value));
    if (isFree && asked === value) {
      renamed.set(value, value);
      return value;
    }
    let name = asked;
    for (let n = 1; taken.has(name); n++) name = `${asked}_${n}`;
    taken.add(name);
    if (isFree) renamed.set(value, name);
    else copies.push({ from: value, to: name });
    return name;
  });
  const current = (value: string) => renamed.get(value) ?? value;
  const types = new Map<string, TensorType>();
  for (const [value, type] of typed.types) types.set(current(value), type);
  for (const { from, to } of copies) types.set(to, typed.types.get(from)!);
  const nodes: Node[] = typed.nodes.map((node) => ({
    ...node,
    inputs: node.inputs.map(current),
    outputs: node.outputs.map(current),
  }));
  return { ...typed, nodes: withCopies(nodes, copies, current), outputs, types };
}

/** Each copy right behind the node whose value it copies. */
function withCopies(
  nodes: readonly Node[],
  copies: readonly { from: string; to: string }[],
  current: (value: string) => string,
): Node[] {
  const bySource = new Map<string, Node[]>();
  for (const { from, to } of copies) {
    const source = current(from);
    const copy: Node = {
      name: `copy:${to}`,
      operator: 'Identity',
      domain: '',
      inputs: [source],
      outputs: [to],
      attributes: {},
    };
    bySource.set(source, [...(bySource.get(source) ?? []), copy]);
  }
  const result = nodes.flatMap((node) => [
    node,
    ...node.outputs.flatMap((output) => {
      const found = bySource.get(output) ?? [];
      bySource.delete(output);
      return found;
    }),
  ]);
  // what is left copies inputs and constants
  return [...[...bySource.values()].flat(), ...result];
}
