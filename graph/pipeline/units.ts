import { BindingError, ShapeError } from '../errors.js';
import type { Graph, TypedGraph } from '../ir/graph.js';
import { byteLengthOf, type Tensor } from '../ir/tensor.js';
import { removeDeadCode } from '../passes/index.js';
import { bindForward, runningStatistics, setDropout, type LossGraphOptions } from '../training/index.js';
import { valuesFromConstants } from './constant-values.js';
import { undividedValues, type Bound } from './sample-layout.js';

/**
 * The smallest pieces that it makes sense to cut a model into: runs of nodes between places where less crosses than
 * right before and right after. A transformer is cut between its blocks and around its larger layers, never within
 * a normalization or an activation that an exporter has written as many nodes; a loop is in one piece, and so are
 * nodes that share running statistics. Where the model takes any number of samples, whatever crosses between units can
 * be divided among devices by samples (see `sampleAxis`). Linear in the model's size.
 * @returns names of nodes, unit by unit: each of the model's in exactly one, and what binding has written for loops
 * @throws what binding throws
 */
export function unitsOf(graph: Graph, options: LossGraphOptions): readonly (readonly string[])[] {
  const state = runningStatistics(graph);
  const bind = (chosen: LossGraphOptions) =>
    removeDeadCode(bindForward(setDropout(graph, true), state, chosen));
  const bound = bind(options);
  const twice = rebound(bind, options);
  const own = new Set(graph.nodes.map(({ name }) => name));
  const crossing = crossingBytes(bound);
  const undivided = twice
    ? undividedValues({ graph: bound, samples: twice.samples }, twice.other)
    : new Set<string>();
  const covered = coveredPlaces(bound.nodes.length, [
    ...statisticSpans(bound, state),
    ...undividedSpans(bound, undivided),
  ]);
  const isCut = (i: number) => {
    const before = crossing[i - 1] ?? Infinity;
    const after = crossing[i + 1] ?? Infinity;
    // of equal neighbours the last, so that a cut lies behind an activation and not before it
    const isLeast = crossing[i]! <= before && crossing[i]! < after;
    return isLeast && own.has(bound.nodes[i + 1]!.name) && !covered[i];
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

/** From the node that makes something, or first reads it, to the last that reads it. */
type Span = readonly [first: number, last: number];

/** Nodes that read one running statistic. */
function statisticSpans(bound: TypedGraph, state: ReadonlyMap<string, Tensor>): readonly Span[] {
  const spans = new Map<string, Span>();
  bound.nodes.forEach(({ inputs }, i) => {
    for (const input of inputs.filter((each) => state.has(each)))
      spans.set(input, [spans.get(input)?.[0] ?? i, i]);
  });
  return [...spans.values()];
}

/** Nodes that make and read a value which cannot be divided by samples. */
function undividedSpans(bound: TypedGraph, undivided: ReadonlySet<string>): readonly Span[] {
  const spans = new Map<string, Span>();
  bound.nodes.forEach(({ inputs, outputs }, i) => {
    for (const output of outputs) if (undivided.has(output)) spans.set(output, [i, i]);
    for (const input of inputs) {
      const span = spans.get(input);
      if (span) spans.set(input, [span[0], i]);
    }
  });
  return [...spans.values()];
}

/** Whether some span goes over the place behind node i, for every i. */
function coveredPlaces(nodes: number, spans: readonly Span[]): readonly boolean[] {
  const change = new Array<number>(nodes + 1).fill(0);
  for (const [first, last] of spans) {
    change[first]!++;
    change[last]!--;
  }
  let open = 0;
  return change.map((by) => (open += by) > 0);
}

/** The graph for another number of samples; undefined where the model or its shapes do not allow one. */
function rebound(
  bind: (options: LossGraphOptions) => TypedGraph,
  options: LossGraphOptions,
): { readonly samples: number; readonly other: Bound } | undefined {
  const { batch, shapes = {} } = options;
  const samples = batch ?? Object.values(shapes)[0]?.[0];
  if (samples === undefined) return undefined;
  const larger = Object.entries(shapes).map(([name, [first, ...rest]]) => [
    name,
    first === samples ? [samples + 1, ...rest] : shapes[name]!,
  ]);
  const more = {
    ...options,
    ...(batch === undefined ? {} : { batch: batch + 1 }),
    shapes: Object.fromEntries(larger) as typeof shapes,
  };
  try {
    return { samples, other: { graph: bind(more), samples: samples + 1 } };
  } catch (error) {
    if (error instanceof BindingError || error instanceof ShapeError) return undefined;
    throw error;
  }
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
