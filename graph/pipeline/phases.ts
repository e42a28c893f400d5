import type { Node, TypedGraph } from '../ir/graph.js';
import { isView } from '../ir/view.js';
import { parameterPlaces, subgraph } from '../passes/index.js';

/** A part of a graph that is run by itself. */
export interface Phase {
  readonly graph: TypedGraph;
  /** Values that earlier phases compute and leave for this one. */
  readonly kept: readonly string[];
}

interface Claim {
  readonly nodes: ReadonlySet<Node>;
  /** What it takes of earlier phases: value to phase. */
  readonly kept: ReadonlyMap<string, number>;
}

/**
 * Splits a graph into phases that run one after the other: phase i computes `outputs[i]`, and takes from earlier
 * phases what they have computed already; views of such values are taken anew. Linear in the size of the graph,
 * times the number of phases.
 * @param recompute later phases compute what the first did again, from the graph's inputs, instead of taking it
 */
export function splitPhases(
  graph: TypedGraph,
  outputs: readonly (readonly string[])[],
  recompute = false,
): readonly Phase[] {
  const producer = new Map<string, Node>();
  for (const node of graph.nodes) {
    for (const output of node.outputs) if (output !== '') producer.set(output, node);
  }
  /** The phase that has a value at hand. */
  const holder = new Map<string, number>();
  const claims = outputs.map((wanted, phase) => {
    const claim = claimOf(wanted, producer, (value, node) => {
      const held = holder.get(value);
      const again = isView(node) || (recompute && held === 0);
      return again ? undefined : held;
    });
    for (const node of claim.nodes) {
      for (const output of node.outputs) {
        const held = holder.get(output);
        if (held === undefined || (recompute && held === 0)) holder.set(output, phase);
      }
    }
    return claim;
  });
  const places = parameterPlaces(graph);
  return claims.map(({ nodes, kept }, phase) => {
    const results = new Set(outputs[phase]);
    for (const later of claims) {
      for (const [value, from] of later.kept) if (from === phase) results.add(value);
    }
    const own = graph.nodes.filter((node) => nodes.has(node));
    return {
      graph: subgraph(graph, own, [...results], `${graph.name}.${phase}`, places),
      kept: [...kept.keys()],
    };
  });
}

/** The nodes that a phase has to run for `wanted`. @param heldBy the phase to take a value from */
function claimOf(
  wanted: readonly string[],
  producer: ReadonlyMap<string, Node>,
  heldBy: (value: string, node: Node) => number | undefined,
): Claim {
  const nodes = new Set<Node>();
  const kept = new Map<string, number>();
  const open = [...wanted];
  for (let value = open.pop(); value !== undefined; value = open.pop()) {
    const node = producer.get(value);
    if (!node || nodes.has(node)) continue;
    const held = heldBy(value, node);
    if (held !== undefined) {
      kept.set(value, held);
      continue;
    }
    nodes.add(node);
    open.push(...node.inputs);
  }
  return { nodes, kept };
}
