import type { Node, TypedGraph } from '../../graph/index.js';

/**
 * The same graph with every output produced by a node of its own: an output that is an input, a parameter, a
 * constant or a repetition of an earlier output goes through an Identity. Runtimes disagree about such outputs;
 * after this there are none. Positions of outputs stay, names of those concerned change.
 */
export function withOwnOutputs(graph: TypedGraph): TypedGraph {
  const produced = new Set(graph.nodes.flatMap((node) => node.outputs));
  const taken = new Set<string>();
  const added: Node[] = [];
  const types = new Map(graph.types);
  const outputs = graph.outputs.map((output) => {
    if (produced.has(output) && !taken.has(output)) {
      taken.add(output);
      return output;
    }
    let name = `${output}/copy_${added.length}`;
    while (types.has(name)) name += '_';
    types.set(name, graph.types.get(output)!);
    added.push({ name, operator: 'Identity', domain: '', inputs: [output], outputs: [name], attributes: {} });
    return name;
  });
  return added.length === 0 ? graph : { ...graph, nodes: [...graph.nodes, ...added], outputs, types };
}
