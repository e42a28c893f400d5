import { attribute, intAttribute, type Node } from '../../ir/graph.js';
import type { NameSpace } from '../../ir/names.js';
import { int64s, normalizeAxis, type Tensor, type TensorType } from '../../ir/tensor.js';
import type { Reference } from '../../operators/index.js';

/** What is known of the values of the graph that was written out. */
export interface Known {
  readonly typeOf: (value: string) => TensorType;
  readonly knownValue: (value: string) => Reference | undefined;
  readonly values: NameSpace;
  readonly nodes: NameSpace;
}

/** Gathers that read one value along one axis. */
interface Reads {
  readonly data: string;
  readonly axis: number;
  readonly length: number;
  /** Which position each node reads. */
  readonly at: Map<Node, number>;
}

/**
 * Where a loop read each step of a sequence by its number (tf2onnx writes so), one Split takes the steps apart: its
 * gradient is one Concat, where that of each Gather is as large as the sequence. Only where every position is read.
 */
export function splitReads(
  nodes: readonly Node[],
  known: Known,
): { readonly nodes: readonly Node[]; readonly constants: ReadonlyMap<string, Tensor> } {
  const groups = new Map<string, Reads>();
  const groupOf = new Map<Node, Reads>();
  for (const node of nodes) {
    const read = readOf(node, known);
    if (!read) continue;
    const key = JSON.stringify([read.data, read.axis]);
    const group: Reads = groups.get(key) ?? { ...read, at: new Map<Node, number>() };
    groups.set(key, group);
    group.at.set(node, read.position);
    groupOf.set(node, group);
  }
  const constants = new Map<string, Tensor>();
  const slices = new Map<Reads, readonly string[]>();
  const written = nodes.flatMap((node): readonly Node[] => {
    const group = groupOf.get(node);
    if (!group || group.length < 2 || new Set(group.at.values()).size < group.length) return [node];
    const before: Node[] = [];
    let steps = slices.get(group);
    if (!steps) {
      steps = takeApart(group, node, known, constants, before);
      slices.set(group, steps);
    }
    const step = steps[group.at.get(node)!]!;
    return [...before, { ...node, operator: 'Identity', inputs: [step], attributes: {} }];
  });
  return { nodes: written, constants };
}

/** What a Gather reads, where that is one position of a value that is not known. */
function readOf(
  node: Node,
  known: Known,
): (Pick<Reads, 'data' | 'axis' | 'length'> & { readonly position: number }) | undefined {
  if (node.operator !== 'Gather' || node.domain !== '') return undefined;
  const [data = '', indices = ''] = node.inputs;
  const index = known.knownValue(indices);
  if (index?.shape.length !== 0 || known.knownValue(data)) return undefined;
  const { shape } = known.typeOf(data);
  const axis = normalizeAxis(intAttribute(node, 'axis', 0), shape.length);
  const length = shape[axis]!;
  const position = normalizeAxis(index.data[0]!, length);
  return position >= 0 && position < length ? { data, axis, length, position } : undefined;
}

/** Writes the Split and what makes a step of each part; returns the steps. */
function takeApart(
  { data, axis, length }: Reads,
  by: Node,
  { values, nodes }: Known,
  constants: Map<string, Tensor>,
  written: Node[],
): readonly string[] {
  const constant = (hint: string, numbers: readonly number[]): string => {
    const name = values.within(by.name, hint);
    constants.set(name, int64s(numbers));
    return name;
  };
  const [sizes, axes] = [constant('sizes', new Array<number>(length).fill(1)), constant('axes', [axis])];
  const parts = Array.from({ length }, () => values.within(by.name, 'part'));
  const step = (operator: string, inputs: readonly string[], outputs: readonly string[]): Node => ({
    name: nodes.within(by.name, operator),
    operator,
    domain: '',
    inputs,
    outputs,
    attributes: operator === 'Split' ? { axis: attribute.int(axis) } : {},
  });
  written.push(step('Split', [data, sizes], parts));
  return parts.map((part) => {
    const name = values.within(by.name, 'step');
    written.push(step('Squeeze', [part, axes], [name]));
    return name;
  });
}
