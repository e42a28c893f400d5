import { customOf, launchOf, ownCellOnly } from '../custom/index.js';
import type { Node, TypedGraph } from '../ir/graph.js';
import { sameShape, sizeOf } from '../ir/tensor.js';
import { isView } from '../ir/view.js';
import { StageError } from './errors.js';
import { sampleAxis, type SampleAxis } from './sample-axis.js';

/** A graph bound for so many samples. */
export interface Bound {
  readonly graph: TypedGraph;
  readonly samples: number;
}

/**
 * How rows of samples lie on a value's sample axis: `blocks` times the samples one after the other, each with
 * rows / blocks rows.
 */
interface Layout extends SampleAxis {
  readonly blocks: number;
}

/**
 * Values of which a range of samples is no range of an axis: where samples are no whole rows, and where rows of
 * different samples alternate. Types alone do not tell the latter: `[T * N, F]` may be made of `[N, T, F]`, of which
 * the rows of a sample lie together, or of `[T, N, F]`. So rows are followed through the graph, from inputs that have
 * their samples on the first axis; what is unclear counts as such a value. Linear in the size of the graph.
 * @param b the same graph as `a` for another number of samples
 */
export function undividedValues(a: Bound, b: Bound): ReadonlySet<string> {
  const undivided = new Set<string>();
  const layouts = new Map<string, Layout>();
  const axisOf = (value: string): SampleAxis | undefined | 'none' => {
    const [mine, other] = [a.graph.types.get(value), b.graph.types.get(value)];
    if (!mine || !other) return undefined;
    try {
      return sampleAxis(value, mine, a.samples, other, b.samples);
    } catch (error) {
      if (error instanceof StageError) return 'none';
      throw error;
    }
  };
  for (const input of a.graph.inputs) {
    const axis = axisOf(input);
    if (axis === 'none') undivided.add(input);
    else if (axis) layouts.set(input, { ...axis, blocks: 1 });
  }
  for (const node of a.graph.nodes) {
    for (const output of node.outputs) {
      const axis = axisOf(output);
      if (axis === undefined) continue;
      const blocks = axis === 'none' ? undefined : blocksOf(a.graph, node, axis, { layouts, undivided });
      if (axis === 'none' || blocks === undefined) undivided.add(output);
      else layouts.set(output, { ...axis, blocks });
      if (blocks !== 1) undivided.add(output);
    }
  }
  return undivided;
}

interface Known {
  readonly layouts: ReadonlyMap<string, Layout>;
  readonly undivided: ReadonlySet<string>;
}

/** Blocks of a node's output; undefined where they are not clear. */
function blocksOf(
  { types }: TypedGraph,
  node: Node,
  { value, axis, rows }: SampleAxis,
  { layouts, undivided }: Known,
): number | undefined {
  if (rows === 1) return 1;
  const inputs = node.inputs.flatMap((input) => layouts.get(input) ?? []);
  if (node.inputs.some((input) => undivided.has(input) && !layouts.has(input))) return undefined;
  const custom = customOf(node);
  // a kernel may move rows about: only where it reads nothing but its own cell do they stay where they are
  if (custom) {
    const { kernel } = launchOf(custom);
    const same = node.inputs.findIndex((input, i) => {
      const known = layouts.get(input);
      return (
        known?.rows === rows &&
        sameShape(types.get(input)!.shape, types.get(value)!.shape) &&
        ownCellOnly(kernel, i)
      );
    });
    return layouts.get(node.inputs[same] ?? '')?.blocks;
  }
  const outside = (of: string, before: number) => sizeOf(types.get(of)!.shape.slice(0, before));
  if (isView(node)) {
    // the elements stay where they are, and so the number of runs of samples among them
    const [input] = inputs;
    if (!input) return undefined;
    const blocks = (outside(input.value, input.axis) * input.blocks) / outside(value, axis);
    return Number.isInteger(blocks) && rows % blocks === 0 ? blocks : undefined;
  }
  const alike = new Set(inputs.filter((input) => input.rows === rows).map(({ blocks }) => blocks));
  if (alike.size === 1) return [...alike][0];
  if (node.operator !== 'Concat' || node.domain !== '') return undefined;
  // samples below samples, as where two views of each are compared
  const perBlock = new Set(inputs.map((input) => input.rows / input.blocks));
  const total = inputs.reduce((sum, input) => sum + input.rows, 0);
  return perBlock.size === 1 && total === rows
    ? inputs.reduce((sum, { blocks }) => sum + blocks, 0)
    : undefined;
}
