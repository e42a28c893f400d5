import { sizeOf, type Node, type TypedGraph } from '../graph/index.js';
import type { Flops } from '../base/index.js';

/** A figure that grows with the samples of a step. */
export interface Linear {
  readonly base: number;
  readonly perSample: number;
}

export function at(line: Linear, samples: number): number {
  return samples === 0 ? 0 : line.base + line.perSample * samples;
}

/** The line through two measurements; never falling. */
export function lineThrough(
  a: { samples: number; value: number },
  b: { samples: number; value: number },
): Linear {
  const perSample = Math.max(0, (b.value - a.value) / (b.samples - a.samples));
  return { base: Math.max(0, a.value - perSample * a.samples), perSample };
}

/** Arithmetic of a matrix product or a convolution; undefined for any other operator. */
export function productFlopsOf(graph: TypedGraph, node: Node): Flops | undefined {
  const shape = (name: string | undefined) => (name ? (graph.types.get(name)?.shape ?? []) : []);
  const output = sizeOf(shape(node.outputs[0]));
  switch (node.operator) {
    case 'MatMul':
      return 2 * output * (shape(node.inputs[0]).at(-1) ?? 1);
    case 'Gemm': {
      const a = shape(node.inputs[0]);
      const transposed = node.attributes['transA'];
      const inner = transposed?.kind === 'int' && transposed.value !== 0 ? a[0] : a[1];
      return 2 * output * (inner ?? 1);
    }
    case 'Conv':
      return 2 * output * sizeOf(shape(node.inputs[1]).slice(1));
    case 'ConvTranspose':
      return 2 * sizeOf(shape(node.inputs[0])) * sizeOf(shape(node.inputs[1]).slice(1));
    default:
      return undefined;
  }
}

/**
 * The arithmetic that a training step cannot do without: matrix products and convolutions. One of the forward pass
 * costs as much again for each operand whose gradient is needed.
 * @param forward the forward pass, loss included or not
 */
export function stepFlopsOf(forward: TypedGraph): Flops {
  const needed = new Set<string>(forward.parameters.keys());
  let flops = 0;
  for (const node of forward.nodes) {
    const operands = node.inputs.slice(0, 2).filter((input) => needed.has(input)).length;
    if (node.inputs.some((input) => needed.has(input))) for (const output of node.outputs) needed.add(output);
    flops += (1 + operands) * (productFlopsOf(forward, node) ?? 0);
  }
  return flops;
}
