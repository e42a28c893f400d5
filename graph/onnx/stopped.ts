import { attribute, type Node } from '../ir/graph.js';
import { STOP_GRADIENT } from '../ir/stop-gradient.js';
import { int64s, tensorOf } from '../ir/tensor.js';
import type { Rewriting } from './normalize.js';

/** PyTorch's `detach`; `.data` is one as well. */
const DETACH = /target=torch\.ops\.aten\.detach\b/;
/** (weight, indices, padding_idx, ...), where there is one: without, the index is left out or -1. */
const PADDED = /target=torch\.ops\.aten\.embedding\.default\]?\(args = \(%\w+, %\w+, (\d+)/;

/** ONNX's number of the element type. */
const INT64 = 7;

/**
 * Nodes as PyTorch differentiates them, by the line of its graph beside them. ONNX has no word for either:
 *
 * - `detach` is an Identity, and ends the gradient;
 * - the row `padding_idx` of an embedding is read, but gets no gradient.
 */
export function asDifferentiated(nodes: readonly Node[], line: string, to: Rewriting): readonly Node[] {
  if (DETACH.test(line)) {
    return nodes.map((node) =>
      node.operator === 'Identity' ? { ...node, attributes: { ...node.attributes, ...STOP_GRADIENT } } : node,
    );
  }
  const padding = PADDED.exec(line)?.[1];
  if (padding === undefined) return nodes;
  return nodes.flatMap((node) => (node.operator === 'Gather' ? padded(node, Number(padding), to) : [node]));
}

/** The rows under `padding` come around the gradient, the others with it. */
function padded(gather: Node, padding: number, { constant, fresh }: Rewriting): Node[] {
  const indices = gather.inputs[1]!;
  const [rows, still, wide, is, mask] = ['rows', 'still', 'indices', 'padding', 'mask'].map(fresh) as [
    string,
    string,
    string,
    string,
    string,
  ];
  const write = (
    operator: string,
    inputs: string[],
    output: string,
    attributes: Node['attributes'] = {},
  ): Node => ({
    name: `${gather.name}/${operator}`,
    operator,
    domain: '',
    inputs,
    outputs: [output],
    attributes,
  });
  return [
    { ...gather, outputs: [rows] },
    write('Identity', [rows], still, STOP_GRADIENT),
    write('Cast', [indices], wide, { to: attribute.int(INT64) }),
    write('Equal', [wide, constant('padding_idx', tensorOf('int64', [], [padding]))], is),
    write('Unsqueeze', [is, constant('axes', int64s([-1]))], mask),
    write('Where', [mask, still, rows], gather.outputs[0]!),
  ];
}
