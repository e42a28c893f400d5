import { byteLengthOf, isView, type Node, type TypedGraph } from '../../graph/index.js';
import { productFlopsOf, type Work } from '../../scheduler/index.js';

/**
 * How often a product moves a weight: it is read, written in the order in which the kernel wants it, and read again. With
 * many samples that is nothing beside the arithmetic; with few it is most of the time.
 */
const WEIGHT_MOVES = 3;
/** How often a gradient is moved on its way out of the engine: it is written, and given out as a copy. */
const GRADIENT_MOVES = 3;

/**
 * What a program computes for one micro-batch of `samples`: per sample, and what does not grow with the samples. Linear
 * in its nodes.
 * @param gradients outputs that are gradients of parameters
 */
export function workOf(
  graph: TypedGraph | undefined,
  samples: number,
  gradients: ReadonlySet<string> = new Set(),
): Work {
  const total = { productFlops: 0, convolutionFlops: 0, movedBytes: 0, fixedBytes: 0, launches: 0 };
  if (!graph) return total;
  const bytesOf = (names: readonly string[]) =>
    names.reduce((sum, name) => sum + (graph.types.has(name) ? byteLengthOf(graph.types.get(name)!) : 0), 0);
  const fixed = new Set([...graph.parameters.keys(), ...graph.constants.keys()]);
  for (const node of graph.nodes) {
    const weights = node.inputs.filter((name) => fixed.has(name));
    const isFixed = weights.length === node.inputs.filter((name) => name !== '').length;
    if (isFixed) node.outputs.forEach((name) => fixed.add(name));
    if (isView(node)) continue;
    total.launches++;
    const flops = productFlopsOf(graph, node);
    if (flops === undefined) {
      const bytes = bytesOf(node.inputs) + bytesOf(node.outputs);
      if (isFixed) total.fixedBytes += bytes;
      else total.movedBytes += bytes;
      continue;
    }
    total.productFlops += flops;
    if (isConvolution(node)) total.convolutionFlops += flops;
    else total.fixedBytes += WEIGHT_MOVES * bytesOf(weights);
  }
  total.fixedBytes += GRADIENT_MOVES * bytesOf(graph.outputs.filter((name) => gradients.has(name)));
  return {
    productFlops: total.productFlops / samples,
    convolutionFlops: total.convolutionFlops / samples,
    movedBytes: total.movedBytes / samples,
    fixedBytes: total.fixedBytes,
    launches: total.launches,
  };
}

/** Its weights are read once for every sample anyway, and are small. */
function isConvolution({ operator }: Node): boolean {
  return operator.startsWith('Conv');
}
