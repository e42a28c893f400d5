import { bodiesOf } from '../ir/body.js';
import { IR_OPSET, type Node } from '../ir/graph.js';

/** Operators of ai.onnx that came after IR_OPSET, with the first opset that has them. */
const NEWER: Readonly<Record<string, number>> = {
  Attention: 23,
  RMSNormalization: 23,
  RotaryEmbedding: 23,
  Swish: 24,
};

/**
 * The opsets that a model of these nodes imports: IR_OPSET, or the oldest later one that has all of its operators,
 * and version 1 of every other domain.
 */
export function opsetsOf(nodes: readonly Node[]): { domain: string; version: bigint }[] {
  const all = withBodies(nodes);
  const standard = all.filter(({ domain }) => domain === '');
  const newest = standard.reduce((opset, { operator }) => Math.max(opset, NEWER[operator] ?? 0), IR_OPSET);
  const others = new Set(all.map(({ domain }) => domain).filter((domain) => domain !== ''));
  return [
    { domain: '', version: BigInt(newest) },
    ...[...others].sort().map((domain) => ({ domain, version: 1n })),
  ];
}

/** The nodes with those of their bodies. */
function withBodies(nodes: readonly Node[]): readonly Node[] {
  return nodes.flatMap((node) => [node, ...bodiesOf(node).flatMap((body) => withBodies(body.nodes))]);
}
