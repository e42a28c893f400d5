import { byteLengthOf, isView, type Node, type TypedGraph } from '../../graph/index.js';
import { productFlopsOf, type Work } from '../../scheduler/index.js';

/** What a program computes for one micro-batch of `samples`, per sample. Linear in its nodes. */
export function workOf(graph: TypedGraph | undefined, samples: number): Work {
  const total = { productFlops: 0, convolutionFlops: 0, movedBytes: 0, launches: 0 };
  for (const node of graph?.nodes ?? []) {
    if (isView(node)) continue;
    total.launches++;
    const flops = productFlopsOf(graph!, node);
    if (flops === undefined) total.movedBytes += bytesMoved(graph!, node);
    else {
      total.productFlops += flops;
      if (node.operator.startsWith('Conv')) total.convolutionFlops += flops;
    }
  }
  return {
    productFlops: total.productFlops / samples,
    convolutionFlops: total.convolutionFlops / samples,
    movedBytes: total.movedBytes / samples,
    launches: total.launches,
  };
}

function bytesMoved(graph: TypedGraph, node: Node): number {
  const values = [...node.inputs, ...node.outputs].filter((name) => name !== '' && graph.types.has(name));
  return values.reduce((sum, name) => sum + byteLengthOf(graph.types.get(name)!), 0);
}
