import { standardOperators, type TypedGraph } from '../../../../graph/index.js';
import { rewrite } from '../../../../graph/passes/index.js';
import type { Provider } from '../provider.js';
import { narrowIntegers } from './narrow.js';
import { hasRule, writeOut } from './rules.js';

/**
 * The graph as a provider is given it: what it lacks, written in what it has. `outputs[i]` keeps its value, though
 * perhaps not its name; on WebGPU int64 inputs, parameters and outputs become int32.
 */
export function lowerFor(provider: Provider['kind'], graph: TypedGraph): TypedGraph {
  // an operator that nobody knows is for the library to refuse, by its node's name
  if (provider !== 'webgpu' || graph.nodes.some((node) => !standardOperators.find(node))) return graph;
  const narrow = narrowIntegers(graph);
  return narrow.nodes.some(hasRule) ? rewrite(narrow, [writeOut]) : narrow;
}
