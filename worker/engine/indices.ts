import {
  intAttribute,
  normalizeAxis,
  type Node,
  type TensorData,
  type TypedGraph,
} from '../../graph/index.js';

/** What values of an input are for: rows of something that has so many. */
export interface IndexRange {
  /** Who would read elsewhere. */
  readonly node: string;
  /** From -length on, below length. */
  readonly length: number;
  /** A value that stands for none, and is replaced before it is used. */
  readonly except: number | undefined;
}

const VIEWS: ReadonlySet<string> = new Set([
  'Identity',
  'Reshape',
  'Flatten',
  'Squeeze',
  'Unsqueeze',
  'Cast',
]);
const READERS: ReadonlySet<string> = new Set(['Gather', 'GatherElements', 'ScatterElements']);

/**
 * The inputs of a graph that are indices, and into what. GPUs read somewhere else where an index is out of range and
 * say nothing, so that the host looks first. An index that is computed from others is not found.
 */
export function indexRanges(graph: TypedGraph): ReadonlyMap<string, IndexRange> {
  const ranges = new Map<string, IndexRange>();
  const producers = new Map(
    graph.nodes.flatMap((node) => node.outputs.map((output) => [output, node] as const)),
  );
  const inputs = new Set(graph.inputs);
  for (const node of graph.nodes) {
    if (!READERS.has(node.operator) || node.domain !== '') continue;
    const { shape } = graph.types.get(node.inputs[0]!)!;
    const length = shape[normalizeAxis(intAttribute(node, 'axis', 0), shape.length)]!;
    const { input, except } = sourceOf(node.inputs[1]!, producers, graph);
    const known = ranges.get(input);
    if (inputs.has(input) && (!known || length < known.length))
      ranges.set(input, { node: node.name, length, except });
  }
  return ranges;
}

/** @throws RangeError naming the input, the value and the node */
export function checkIndices(input: string, { node, length, except }: IndexRange, data: TensorData): void {
  for (let i = 0; i < data.length; i++) {
    const index = Number(data[i]!);
    if ((index >= -length && index < length) || index === except) continue;
    throw new RangeError(
      `input "${input}" holds ${index} at ${i}; node "${node}" takes indices from ${-length} to ${length - 1}`,
    );
  }
}

/** Through views, and through `where(x == c, 0, x)`, which takes out a value that stands for none. */
function sourceOf(
  value: string,
  producers: ReadonlyMap<string, Node>,
  graph: TypedGraph,
): { readonly input: string; readonly except: number | undefined } {
  let input = value;
  let except: number | undefined;
  for (;;) {
    const node = producers.get(input);
    if (node && VIEWS.has(node.operator)) input = node.inputs[0]!;
    else if (node?.operator === 'Where') {
      const condition = producers.get(node.inputs[0]!);
      const [compared, none] = condition?.operator === 'Equal' ? condition.inputs : [];
      const number = none === undefined ? undefined : graph.constants.get(none)?.data;
      if (compared !== node.inputs[2] || number?.length !== 1) return { input, except };
      except = Number(number[0]);
      input = node.inputs[2]!;
    } else return { input, except };
  }
}
