import type { TypedGraph } from '../ir/graph.js';

/**
 * Keeps only what the outputs depend on: nodes, constants and types. Inputs and parameters stay, used or not;
 * an output of a kept node that nothing uses stays too.
 */
export function removeDeadCode(typed: TypedGraph): TypedGraph {
  const live = new Set(typed.outputs);
  const nodes = [...typed.nodes]
    .reverse()
    .filter((node) => {
      if (!node.outputs.some((output) => live.has(output))) return false;
      for (const input of node.inputs) live.add(input);
      return true;
    })
    .reverse();
  const constants = new Map([...typed.constants].filter(([name]) => live.has(name)));
  const known = new Set([...typed.inputs, ...typed.parameters.keys(), ...constants.keys()]);
  for (const node of nodes) for (const output of node.outputs) known.add(output);
  const types = new Map([...typed.types].filter(([name]) => known.has(name)));
  return { ...typed, nodes, constants, types };
}
