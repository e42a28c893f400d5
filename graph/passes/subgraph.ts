import type { Node, TypedGraph } from '../ir/graph.js';

/**
 * Some of a graph's nodes as a graph of their own: what they read and do not compute becomes its inputs, parameters
 * and constants, each as it is in the whole. Looks up only what the nodes name, so that cutting a graph into many
 * costs no more than into one.
 * @param nodes in the graph's order
 * @param place the parameters' position in the model, where the caller has it at hand
 */
export function subgraph(
  graph: TypedGraph,
  nodes: readonly Node[],
  outputs: readonly string[],
  name: string,
  place: ReadonlyMap<string, number> = parameterPlaces(graph),
): TypedGraph {
  const computed = new Set(nodes.flatMap((node) => node.outputs));
  const used = new Set(nodes.flatMap((node) => node.inputs));
  for (const output of outputs) if (!computed.has(output)) used.add(output);
  used.delete('');
  computed.delete('');
  const names = [...used];
  const inModelOrder = names.filter((each) => place.has(each)).sort((a, b) => place.get(a)! - place.get(b)!);
  const parameters = new Map(inModelOrder.map((each) => [each, graph.parameters.get(each)!]));
  const constants = new Map(
    names.flatMap((each) => (graph.constants.has(each) ? [[each, graph.constants.get(each)!]] : [])),
  );
  const inputs = names.filter((each) => !computed.has(each) && !parameters.has(each) && !constants.has(each));
  const types = new Map(
    [...used, ...computed].flatMap((each) => (graph.types.has(each) ? [[each, graph.types.get(each)!]] : [])),
  );
  return { name, inputs, outputs: [...outputs], nodes, parameters, constants, types };
}

/** Each parameter's position in the model. */
export function parameterPlaces(graph: TypedGraph): ReadonlyMap<string, number> {
  return new Map([...graph.parameters.keys()].map((name, i) => [name, i]));
}
