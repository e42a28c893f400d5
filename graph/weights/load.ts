import { InvariantError } from '../../base/index.js';
import type { Graph } from '../ir/graph.js';
import { sizeOf, type Tensor } from '../ir/tensor.js';
import { SafetensorsFile } from './file.js';
import { matchWeights, type Match, type MatchRules } from './match.js';

/** What a model takes of a weights file. Its header is read, none of its values. @throws as `matchWeights` */
export async function checkWeights(
  graph: Graph,
  path: string,
  rules: MatchRules,
  source: string,
): Promise<readonly Match[]> {
  const file = await SafetensorsFile.open(path, source);
  await file.close();
  return matchWeights(graph, file.entries, rules, source);
}

/** A model that starts from a weights file. */
export interface Loaded {
  readonly graph: Graph;
  /** The constants that took their values from the file. */
  readonly constants: ReadonlyMap<string, Tensor>;
}

/**
 * The model with the values of a weights file.
 *
 * The parameters' values are overwritten where they are, so that nothing is in memory twice: the graph that is given
 * must be the caller's own, fresh from `readModel`, and is not to be used afterwards.
 * @throws as `matchWeights`; InvariantError for a parameter that is not float32
 */
export async function loadWeights(
  graph: Graph,
  path: string,
  rules: MatchRules,
  source: string,
): Promise<Loaded> {
  const file = await SafetensorsFile.open(path, source);
  try {
    const constants = new Map<string, Tensor>();
    for (const { entry, name } of matchWeights(graph, file.entries, rules, source)) {
      const parameter = graph.parameters.get(name);
      const data = parameter ? parameter.data : new Float32Array(sizeOf(entry.shape));
      if (!(data instanceof Float32Array)) throw new InvariantError(`parameter "${name}" is not float32`);
      await file.read(entry, data);
      if (!parameter) constants.set(name, { dtype: 'float32', shape: entry.shape, data });
    }
    return { graph: withConstants(graph, constants), constants };
  } finally {
    await file.close();
  }
}

/** Constants under their own names, also where an Identity has shared another's. */
function withConstants(graph: Graph, constants: ReadonlyMap<string, Tensor>): Graph {
  if (constants.size === 0) return graph;
  return {
    ...graph,
    nodes: graph.nodes.filter((node) => !node.outputs.some((output) => constants.has(output))),
    constants: new Map([...graph.constants, ...constants]),
  };
}
