import { attribute, type Attributes, type Node } from '../ir/graph.js';
import type { TensorType } from '../ir/tensor.js';
import { convolutionOf, transposedOf } from '../operators/convolution.js';
import { pooled } from '../operators/pooling.js';
import { spanOf } from '../operators/window.js';

type Types = readonly (TensorType | undefined)[];

const IMPLICIT = ['auto_pad', 'output_shape'];

/** How an operator with a window says where it lies, in numbers. */
const EXPLICIT: Readonly<Record<string, (node: Node, types: Types) => Attributes>> = {
  AveragePool: (node, types) => padsOf(pooled(node, types, 'number').placed.window),
  Conv: (node, types) => padsOf(convolutionOf(node, types).placed.window),
  ConvTranspose: (node, types) => {
    const { x, placed, output } = transposedOf(node, types);
    const { window } = placed;
    const extra = output.map((length, axis) => {
      const full = window.strides[axis]! * (x.shape[axis + 2]! - 1) + spanOf(window, axis);
      return length - (full - window.begins[axis]! - window.ends[axis]!);
    });
    return { ...padsOf(window), output_padding: attribute.ints(extra) };
  },
  MaxPool: (node, types) => padsOf(pooled(node, types, 'number').placed.window),
};

function padsOf(window: {
  readonly begins: readonly number[];
  readonly ends: readonly number[];
}): Attributes {
  return { pads: attribute.ints([...window.begins, ...window.ends]) };
}

/**
 * The node with its padding in numbers. Once the shapes are known `auto_pad` and `output_shape` add nothing,
 * and engines differ in what they make of them (dilated windows, strides longer than the kernel).
 * @throws ShapeError where the operands do not fit
 */
export function withExplicitPads(node: Node, types: Types): Node {
  const explicit = node.domain === '' ? EXPLICIT[node.operator] : undefined;
  if (!explicit || !IMPLICIT.some((name) => node.attributes[name])) return node;
  const rest = Object.entries(node.attributes).filter(([name]) => !IMPLICIT.includes(name));
  return { ...node, attributes: { ...Object.fromEntries(rest), ...explicit(node, types) } };
}
