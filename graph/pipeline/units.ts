import type { Graph, TypedGraph } from '../ir/graph.js';
import { byteLengthOf } from '../ir/tensor.js';
import { bindForward, runningStatistics, setDropout, type LossGraphOptions } from '../training/index.js';

/**
 * The smallest pieces that it makes sense to cut a model into: runs of nodes between places where less crosses than
 * right before and right after. A transformer is cut between its blocks and around its larger layers, never within
 * a normalization or an activation that an exporter has written as many nodes. Linear in the model's size.
 * @returns names of the model's nodes, unit by unit, every node in exactly one
 * @throws what binding throws
 */
export function unitsOf(graph: Graph, options: LossGraphOptions): readonly (readonly string[])[] {
  const bound = bindForward(setDropout(graph, true), runningStatistics(graph), options);
  const crossing = crossingBytes(bound);
  const cuts = new Set<string>();
  crossing.forEach((bytes, i) => {
    const before = crossing[i - 1] ?? Infinity;
    const after = crossing[i + 1] ?? Infinity;
    // of equal neighbours the last, so that a cut lies behind an activation and not before it
    if (bytes <= before && bytes < after) cuts.add(bound.nodes[i]!.name);
  });
  const units: string[][] = [[]];
  for (const { name } of graph.nodes) {
    units.at(-1)!.push(name);
    if (cuts.has(name)) units.push([]);
  }
  return units;
}

/** Bytes that lie between node i and the nodes after it, for every i but the last. */
function crossingBytes(bound: TypedGraph): number[] {
  const lastUse = new Map<string, number>();
  bound.nodes.forEach((node, i) => {
    for (const input of node.inputs) lastUse.set(input, i);
  });
  for (const output of bound.outputs) lastUse.set(output, bound.nodes.length);
  const freed = new Array<number>(bound.nodes.length + 1).fill(0);
  let bytes = 0;
  const crossing: number[] = [];
  bound.nodes.forEach((node, i) => {
    bytes -= freed[i]!;
    for (const output of node.outputs) {
      const until = lastUse.get(output);
      const type = bound.types.get(output);
      if (until === undefined || !type) continue;
      bytes += byteLengthOf(type);
      freed[until]! += byteLengthOf(type);
    }
    crossing.push(bytes);
  });
  return crossing.slice(0, -1);
}
