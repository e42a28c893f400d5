import type { TypedGraph } from '../ir/graph.js';
import { byteLengthOf } from '../ir/tensor.js';
import { isView } from '../ir/view.js';
import type { TrainingGraph } from './build.js';

/** Parameters in the order in which the backward pass completes their gradients, nodes running in the graph's order. */
export function gradientOrder({
  graph,
  gradients,
}: Pick<TrainingGraph, 'graph' | 'gradients'>): readonly string[] {
  const position = new Map<string, number>();
  graph.nodes.forEach((node, i) => {
    for (const output of node.outputs) position.set(output, i);
  });
  return [...gradients]
    .map(([parameter, value]) => ({ parameter, at: position.get(value) ?? -1 }))
    .sort((a, b) => a.at - b.at)
    .map(({ parameter }) => parameter);
}

/**
 * The most bytes that node outputs take at once when the nodes run in order and a value is freed after its last
 * use; the graph's outputs stay. Inputs, parameters and constants are not counted, nor what an operator needs
 * within itself. Linear in the size of the graph.
 */
export function peakActivationBytes(typed: TypedGraph): number {
  const root = new Map<string, string>();
  const rootOf = (value: string) => root.get(value) ?? value;
  const lastUse = new Map<string, number>();
  const held = new Set(typed.outputs);
  typed.nodes.forEach((node, i) => {
    for (const input of node.inputs) lastUse.set(rootOf(input), i);
    for (const output of node.outputs) {
      const views = isView(node) && !held.has(output);
      if (views) root.set(output, rootOf(node.inputs[0]!));
      lastUse.set(rootOf(output), i);
    }
  });
  for (const output of typed.outputs) lastUse.set(rootOf(output), Infinity);

  const freed = new Map<number, number>();
  const computed = new Set<string>();
  let bytes = 0;
  let peak = 0;
  typed.nodes.forEach((node, i) => {
    for (const output of node.outputs) {
      const type = typed.types.get(output);
      if (!type || root.has(output) || computed.has(output)) continue;
      computed.add(output);
      const size = byteLengthOf(type);
      bytes += size;
      const last = lastUse.get(output) ?? i;
      freed.set(last, (freed.get(last) ?? 0) + size);
    }
    peak = Math.max(peak, bytes);
    bytes -= freed.get(i) ?? 0;
  });
  return peak;
}
