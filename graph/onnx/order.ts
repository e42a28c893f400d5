import { readsOf } from '../ir/body.js';
import type { Node } from '../ir/graph.js';
import { modelError } from './fail.js';

/** Nodes named in a message, at most. */
const LONGEST_LIST = 5;

/**
 * The nodes in topological order: the given order where that is one, else the nearest (each node as soon as
 * what it reads is there, in the file's order). Linear in nodes and edges.
 *
 * @param known names of inputs, parameters and constants; for a body `'around'`: what no node gives comes from there
 * @throws ModelError for a value that nothing gives, one that two nodes give, or a cycle
 */
export function inOrder(
  nodes: readonly Node[],
  known: ReadonlySet<string> | 'around',
  source: string,
): readonly Node[] {
  const producer = producers(nodes, known, source);
  const waiting = nodes.map(() => 0);
  const consumers = nodes.map((): number[] => []);
  const reads = nodes.map(readsOf);
  nodes.forEach((node, i) => {
    for (const input of reads[i]!) {
      if (input === '') continue;
      const from = producer.get(input);
      if (from === undefined) {
        if (known === 'around' || known.has(input)) continue;
        throw modelError(
          { source, node: node.name, value: input },
          `node "${node.name}" (${node.operator}) reads "${input}", which no input, initializer or node gives`,
        );
      }
      consumers[from]!.push(i);
      waiting[i]!++;
    }
  });
  if (reads.every((each, i) => each.every((input) => (producer.get(input) ?? -1) < i))) return nodes;
  const ready = waiting.flatMap((count, i) => (count === 0 ? [i] : []));
  const ordered: Node[] = [];
  for (let at = 0; at < ready.length; at++) {
    const i = ready[at]!;
    ordered.push(nodes[i]!);
    for (const next of consumers[i]!) {
      if (--waiting[next]! === 0) ready.push(next);
    }
  }
  if (ordered.length === nodes.length) return ordered;
  const names = nodes.filter((_, i) => waiting[i]! > 0).map(({ name }) => `"${name}"`);
  const more = names.length > LONGEST_LIST ? ` and ${names.length - LONGEST_LIST} more` : '';
  throw modelError(
    { source },
    `the nodes ${names.slice(0, LONGEST_LIST).join(', ')}${more} wait for each other in a cycle; a graph without cycles would be accepted`,
  );
}

/** Which node gives each value. */
function producers(
  nodes: readonly Node[],
  known: ReadonlySet<string> | 'around',
  source: string,
): ReadonlyMap<string, number> {
  const producer = new Map<string, number>();
  nodes.forEach((node, i) => {
    for (const output of node.outputs) {
      if (output === '') continue;
      const other = producer.get(output);
      if (other !== undefined || (known !== 'around' && known.has(output))) {
        const first = other === undefined ? 'an input or initializer' : `node "${nodes[other]!.name}"`;
        throw modelError(
          { source, node: node.name, value: output },
          `"${output}" is given twice: by ${first} and by node "${node.name}" (${node.operator})`,
        );
      }
      producer.set(output, i);
    }
  });
  return producer;
}
