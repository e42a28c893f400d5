import type { Body, Node } from './graph.js';

/** The bodies of a node: of a branch two, of a loop one, of any other node none. */
export function bodiesOf(node: Node): readonly Body[] {
  return Object.values(node.attributes).flatMap((value) => (value.kind === 'body' ? [value.value] : []));
}

/** The values that a node needs: its inputs, and what its bodies read of the graph around them. */
export function readsOf(node: Node): readonly string[] {
  const bodies = bodiesOf(node);
  return bodies.length === 0 ? node.inputs : [...node.inputs, ...bodies.flatMap(capturesOf)];
}

/** The values that a body reads and does not make itself; each once, in the order of their first use. */
export function capturesOf(body: Body): readonly string[] {
  const own = new Set(body.inputs);
  const captured = new Set<string>();
  const read = (name: string) => {
    if (name !== '' && !own.has(name)) captured.add(name);
  };
  for (const node of body.nodes) for (const output of node.outputs) own.add(output);
  for (const node of body.nodes) readsOf(node).forEach(read);
  for (const { name } of body.outputs) read(name);
  return [...captured];
}

/** The nodes, those of bodies included, each changed by `change` (a node with bodies after its bodies' nodes). */
export function mapNodes(nodes: readonly Node[], change: (node: Node) => Node): readonly Node[] {
  return nodes.map((node) => {
    if (bodiesOf(node).length === 0) return change(node);
    const attributes = Object.entries(node.attributes).map(([name, value]) => [
      name,
      value.kind === 'body'
        ? { kind: 'body', value: { ...value.value, nodes: mapNodes(value.value.nodes, change) } }
        : value,
    ]);
    return change({ ...node, attributes: Object.fromEntries(attributes) as Node['attributes'] });
  });
}

/** How many of a node's first inputs are not the body's own: the condition of a branch, the trips of a loop. */
const BEFORE: Readonly<Record<string, number>> = { If: 1, Loop: 0, Scan: 0 };

/**
 * What depends on what in a graph with branches and loops, written as nodes without bodies: a body's nodes stand where
 * its branch or loop stood, between copies that carry values in and out. For questions about dependence only: an
 * output of a loop depends on all outputs of its body, and an operation on sequences is a copy of all its inputs.
 */
export function outline(nodes: readonly Node[]): readonly Node[] {
  return nodes.flatMap((node) => {
    const bodies = bodiesOf(node);
    if (bodies.length === 0) return isSequence(node) ? [copy(node, node.inputs, node.outputs)] : [node];
    const given = node.inputs.slice(BEFORE[node.operator] ?? 0);
    const before = bodies.flatMap(({ inputs }) =>
      inputs.map((input, i) => copy(node, [given[i] ?? ''], [input])),
    );
    const results = bodies.flatMap(({ outputs }) => outputs.map(({ name }) => name));
    return [...before, ...bodies.flatMap((body) => outline(body.nodes)), copy(node, results, node.outputs)];
  });
}

const SEQUENCE_OPERATORS: ReadonlySet<string> = new Set([
  'ConcatFromSequence',
  'SequenceAt',
  'SequenceConstruct',
  'SequenceEmpty',
  'SequenceErase',
  'SequenceInsert',
  'SequenceLength',
  'SequenceMap',
  'SplitToSequence',
]);

/** Whether a node makes, changes or reads a list of tensors. */
export function isSequence({ operator, domain }: Pick<Node, 'operator' | 'domain'>): boolean {
  return domain === '' && SEQUENCE_OPERATORS.has(operator);
}

function copy({ name }: Node, inputs: readonly string[], outputs: readonly string[]): Node {
  return { name, operator: 'Identity', domain: '', inputs, outputs, attributes: {} };
}
