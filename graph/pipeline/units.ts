import type { Graph, TypedGraph } from '../ir/graph.js';
import { byteLengthOf, type Tensor } from '../ir/tensor.js';
import { removeDeadCode } from '../passes/index.js';
import { bindForward, runningStatistics, setDropout, type LossGraphOptions } from '../training/index.js';
import { valuesFromConstants } from './constant-values.js';

/**
 * The smallest pieces that it makes sense to cut a model into: runs of nodes between places where less crosses than
 * right before and right after. A transformer is cut between its blocks and around its larger layers, never within
 * a normalization or an activation that an exporter has written as many nodes; a loop is in one piece, and so are
 * nodes that share running statistics. Linear in the model's size.
 * @returns names of nodes, unit by unit: each of the model's in exactly one, and what binding has written for loops
 * @throws what binding throws
 */
export function unitsOf(graph: Graph, options: LossGraphOptions): readonly (readonly string[])[] {
  const state = runningStatistics(graph);
  const bound = removeDeadCode(bindForward(setDropout(graph, true), state, options));
  const own = new Set(graph.nodes.map(({ name }) => name));
  const crossing = crossingBytes(bound);
  const shared = sharingStatistics(bound, state);
  const isCut = (i: number) => {
    const before = crossing[i - 1] ?? Infinity;
    const after = crossing[i + 1] ?? Infinity;
    // of equal neighbours the last, so that a cut lies behind an activation and not before it
    const isLeast = crossing[i]! <= before && crossing[i]! < after;
    return isLeast && own.has(bound.nodes[i + 1]!.name) && !shared(i);
  };
  const units: string[][] = [[]];
  const unitOf = new Map<string, number>();
  bound.nodes.forEach(({ name }, i) => {
    unitOf.set(name, units.length - 1);
    if (i < crossing.length && isCut(i)) units.push([]);
  });
  // what binding has computed away stays with the node before it
  let unit = 0;
  for (const { name } of graph.nodes) {
    unit = unitOf.get(name) ?? unit;
    units[unit]!.push(name);
  }
  for (const { name } of bound.nodes) if (!own.has(name)) units[unitOf.get(name)!]!.push(name);
  return units;
}

/** Tells of a place behind node i whether nodes on both sides of it read one running statistic. */
function sharingStatistics(
  bound: TypedGraph,
  state: ReadonlyMap<string, Tensor>,
): (place: number) => boolean {
  const first = new Map<string, number>();
  const last = new Map<string, number>();
  bound.nodes.forEach(({ inputs }, i) => {
    for (const input of inputs.filter((each) => state.has(each))) {
      if (!first.has(input)) first.set(input, i);
      last.set(input, i);
    }
  });
  const spans = [...first]
    .map(([name, from]) => ({ from, to: last.get(name)! }))
    .filter(({ from, to }) => from < to);
  return (place) => spans.some(({ from, to }) => from <= place && place < to);
}

/** Bytes that lie between node i and the nodes after it, for every i but the last. */
function crossingBytes(bound: TypedGraph): number[] {
  const fromConstants = valuesFromConstants(bound);
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
      if (until === undefined || !type || fromConstants.has(output)) continue;
      bytes += byteLengthOf(type);
      freed[until]! += byteLengthOf(type);
    }
    crossing.push(bytes);
  });
  return crossing.slice(0, -1);
}
