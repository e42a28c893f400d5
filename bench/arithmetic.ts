import { intAttribute, sizeOf, type Node, type TypedGraph } from '../graph/index.js';

/**
 * The floating-point operations that a training step cannot do without: those of its matrix products and
 * convolutions. A product of the forward pass costs as much again for each operand whose gradient is needed.
 *
 * @param forward the forward pass, loss included or not
 * @returns additions and multiplications, each counted as one
 */
export function stepFlops(forward: TypedGraph): number {
  const needed = new Set<string>(forward.parameters.keys());
  let flops = 0;
  for (const node of forward.nodes) {
    const operands = node.inputs.slice(0, 2).filter((input) => needed.has(input)).length;
    if (node.inputs.some((input) => needed.has(input))) for (const output of node.outputs) needed.add(output);
    flops += (1 + operands) * productFlops(forward, node);
  }
  return flops;
}

function productFlops(graph: TypedGraph, node: Node): number {
  const shapeOf = (value: string) => graph.types.get(value)!.shape;
  const size = () => sizeOf(shapeOf(node.outputs[0]!));
  switch (node.operator) {
    case 'MatMul':
      return 2 * size() * shapeOf(node.inputs[0]!).at(-1)!;
    case 'Gemm':
      return 2 * size() * shapeOf(node.inputs[0]!)[intAttribute(node, 'transA', 0) === 1 ? 0 : 1]!;
    case 'Conv':
      return 2 * size() * sizeOf(shapeOf(node.inputs[1]!).slice(1));
    case 'ConvTranspose':
      return 2 * sizeOf(shapeOf(node.inputs[0]!)) * sizeOf(shapeOf(node.inputs[1]!).slice(1));
    default:
      return 0;
  }
}
