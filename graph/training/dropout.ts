import { mapNodes, outline } from '../ir/body.js';
import { attribute, type Graph, type Node, type TypedGraph } from '../ir/graph.js';
import { NameSpace } from '../ir/names.js';
import { scalar, type Tensor } from '../ir/tensor.js';
import { rewrite } from '../passes/index.js';

/** A dropout of the model: a mask that whoever runs the graph fills for each step. */
export interface DropoutMask {
  /** The graph's input: 0 where an element is dropped, 1 / (1 - ratio) where it is kept. */
  readonly input: string;
  /** The shape of what it multiplies, batch included. */
  readonly shape: readonly number[];
  /** The probability of dropping, in (0, 1). */
  readonly ratio: number;
  /** Its number among the masks of the whole model. */
  readonly index: number;
}

/**
 * Says of every Dropout of a graph and its bodies whether it drops, whatever mode the model was exported in: in training all do,
 * in evaluation none.
 */
export function setDropout(graph: Graph, training: boolean): Graph {
  const all = outline(graph.nodes);
  if (!all.some(isDropout)) return graph;
  const constants = new Map<string, Tensor>(graph.constants);
  const mode = new NameSpace([
    ...graph.parameters.keys(),
    ...graph.constants.keys(),
    ...graph.inputs.map(({ name }) => name),
    ...all.flatMap(({ outputs }) => outputs),
  ]).fresh('dropout.training');
  constants.set(mode, scalar('bool', training ? 1 : 0));
  const nodes = mapNodes(graph.nodes, (node) =>
    isDropout(node) ? { ...node, inputs: [node.inputs[0] ?? '', node.inputs[1] ?? '', mode] } : node,
  );
  return { ...graph, nodes, constants };
}

/**
 * Dropout becomes a product with a mask that is an input of the graph (engines differ in which training forms
 * they run, and a mask from a seed is the same on every device).
 * @param first number of the first mask
 */
export function lowerDropout(
  typed: TypedGraph,
  first = 0,
): {
  readonly typed: TypedGraph;
  readonly masks: readonly DropoutMask[];
} {
  const masks: DropoutMask[] = [];
  const lowered = rewrite(typed, [
    ({ node, f, type }) => {
      if (!isDropout(node)) return undefined;
      const ratio = node.inputs[1] ? (f.numberOf(node.inputs[1]) ?? 0.5) : 0.5;
      const index = first + masks.length;
      const input = f.builder.input(`dropout.${index}`, type);
      masks.push({ input, shape: type.shape, ratio, index });
      const outputs = [f.mul(node.inputs[0]!, input)];
      if (node.outputs[1]) outputs.push(f.one('Cast', [input], { to: attribute.int(9) }));
      return outputs;
    },
  ]);
  return { typed: lowered, masks };
}

function isDropout(node: Node): boolean {
  return node.operator === 'Dropout' && node.domain === '';
}
