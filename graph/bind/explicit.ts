import { attribute, intAttribute, type Attributes, type Node } from '../ir/graph.js';
import type { TensorType } from '../ir/tensor.js';
import { convolutionOf, transposedOf } from '../operators/convolution.js';
import { pooled } from '../operators/pooling.js';
import { spanOf } from '../operators/window.js';

type Types = readonly (TensorType | undefined)[];

const IMPLICIT = ['auto_pad', 'output_shape', 'ceil_mode'];

/** How an operator with a window says where it lies, in numbers. */
const EXPLICIT: Readonly<Record<string, (node: Node, types: Types) => Attributes>> = {
  AveragePool: padsOfPool,
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
  MaxPool: padsOfPool,
};

function padsOf(window: {
  readonly begins: readonly number[];
  readonly ends: readonly number[];
}): Attributes {
  return { pads: attribute.ints([...window.begins, ...window.ends]) };
}

/**
 * With `ceil_mode`, the padding after each axis that leaves just as many windows without it. The mode stays where
 * that would be another pool: where a mean counts its padding, and the last window reaches beyond what was declared;
 * or where the padding would be as long as the kernel, which engines refuse.
 */
function padsOfPool(node: Node, types: Types): Attributes {
  const { x, placed } = pooled(node, types, 'number');
  const { window, output } = placed;
  if (intAttribute(node, 'ceil_mode', 0) === 0) return padsOf(window);
  const ends = output.map((positions, axis) => {
    const last = (positions - 1) * window.strides[axis]! + spanOf(window, axis);
    return Math.max(0, last - window.begins[axis]! - x.shape[axis + 2]!);
  });
  const counted = intAttribute(node, 'count_include_pad', 0) === 1;
  const keeps = ends.every(
    (end, axis) => end < window.kernel[axis]! && (!counted || end <= window.ends[axis]!),
  );
  return keeps ? padsOf({ ...window, ends }) : { ...padsOf(window), ceil_mode: attribute.int(1) };
}

/**
 * The node with its padding in numbers. Once the shapes are known `auto_pad`, `output_shape` and `ceil_mode` add
 * nothing, and engines differ in what they make of them (dilated windows, strides longer than the kernel).
 * @throws ShapeError where the operands do not fit
 */
export function withExplicitPads(node: Node, types: Types): Node {
  const explicit = node.domain === '' ? EXPLICIT[node.operator] : undefined;
  if (!explicit || !IMPLICIT.some((name) => node.attributes[name])) return node;
  const rest = Object.entries(node.attributes).filter(([name]) => !IMPLICIT.includes(name));
  return { ...node, attributes: { ...Object.fromEntries(rest), ...explicit(node, types) } };
}
