import { InvariantError } from '../../base/index.js';
import type { Node, TypedGraph } from '../ir/graph.js';
import { byteLengthOf } from '../ir/tensor.js';
import { subgraph } from '../passes/index.js';
import type { TrainingGraph } from './build.js';

/** A training graph as a sequence of graphs to run one after the other. */
export interface Segments {
  /**
   * Segment i gives the gradients of bucket i; the first also the loss and, where asked for, the model's output.
   * What a later segment needs of an earlier one is an output of the earlier and an input of the later, by name.
   */
  readonly segments: readonly TypedGraph[];
  /** Values that go from one segment to later ones. */
  readonly crossing: readonly { readonly value: string; readonly bytes: number; readonly from: number }[];
  readonly crossingBytes: number;
}

/**
 * Cuts a training graph so that a bucket's gradients can travel while the rest is still computed.
 *
 * Segment i holds what bucket i needs and no earlier one did, in the graph's order. Running the segments in order
 * equals running the graph. No segment is empty. Linear in the size of the graph.
 * @param buckets parameters with a gradient, each in exactly one bucket; give them in `gradientOrder`, so that each
 *   segment adds little
 */
export function cutIntoSegments(training: TrainingGraph, buckets: readonly (readonly string[])[]): Segments {
  const { graph, gradients } = training;
  checkBuckets(training, buckets);
  const producer = new Map<string, number>();
  graph.nodes.forEach((node, i) => {
    for (const output of node.outputs) if (output !== '') producer.set(output, i);
  });
  const segmentOf = new Array<number>(graph.nodes.length).fill(-1);
  const claim = (values: readonly string[], segment: number) => {
    const open = [...values];
    for (let value = open.pop(); value !== undefined; value = open.pop()) {
      const at = producer.get(value);
      if (at === undefined || segmentOf[at] !== -1) continue;
      segmentOf[at] = segment;
      open.push(...graph.nodes[at]!.inputs);
    }
  };
  const gradientValues = new Set(gradients.values());
  const others = graph.outputs.filter((output) => !gradientValues.has(output));
  if (buckets.length === 0) claim(others, 0);
  buckets.forEach((bucket, i) => {
    const wanted = bucket.map((parameter) => gradients.get(parameter)!);
    claim(i === 0 ? [...others, ...wanted] : wanted, i);
  });

  const count = Math.max(1, buckets.length);
  const nodes: Node[][] = Array.from({ length: count }, () => []);
  graph.nodes.forEach((node, i) => {
    if (segmentOf[i] !== -1) nodes[segmentOf[i]!]!.push(node);
  });
  const exported = exportsOf(graph, nodes, (value) => {
    const at = producer.get(value);
    return at === undefined ? undefined : segmentOf[at];
  });
  const place = new Map([...graph.parameters.keys()].map((name, i) => [name, i]));
  const segments = nodes.map((part, i) =>
    subgraph(graph, part, [...exported[i]!], `${graph.name}.${i}`, place),
  );
  const outputs = new Set(graph.outputs);
  const crossing = exported.flatMap((values, from) =>
    [...values]
      .filter((value) => !outputs.has(value))
      .map((value) => ({ value, bytes: byteLengthOf(graph.types.get(value)!), from })),
  );
  return { segments, crossing, crossingBytes: crossing.reduce((sum, { bytes }) => sum + bytes, 0) };
}

/** For each segment, what others or the caller need of it, in the order in which it is computed. */
function exportsOf(
  graph: TypedGraph,
  nodes: readonly (readonly Node[])[],
  segmentOf: (value: string) => number | undefined,
): Set<string>[] {
  const needed = new Set(graph.outputs);
  nodes.forEach((part, segment) => {
    for (const input of part.flatMap((node) => node.inputs)) {
      const from = segmentOf(input);
      if (from !== undefined && from !== segment) needed.add(input);
    }
  });
  return nodes.map(
    (part) => new Set(part.flatMap((node) => node.outputs).filter((output) => needed.has(output))),
  );
}

function checkBuckets({ gradients }: TrainingGraph, buckets: readonly (readonly string[])[]): void {
  const seen = new Set<string>();
  for (const parameter of buckets.flat()) {
    if (!gradients.has(parameter))
      throw new InvariantError(`parameter "${parameter}" has no gradient to put in a bucket`);
    if (seen.has(parameter)) throw new InvariantError(`parameter "${parameter}" is in two buckets`);
    seen.add(parameter);
  }
  const missing = [...gradients.keys()].filter((parameter) => !seen.has(parameter));
  if (missing.length > 0) throw new InvariantError(`no bucket has ${missing.join(', ')}`);
  if (buckets.some((bucket) => bucket.length === 0)) throw new InvariantError('a bucket without parameters');
}
