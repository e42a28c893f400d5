import { isFloat, stridesOf, type TensorType } from '../ir/tensor.js';
import { ShapeError } from '../errors.js';
import { stringAttribute, type Node } from '../ir/graph.js';
import type { OperatorDefinition, Reference } from './definition.js';
import { checkedShape, define, knownInts, operand, valueOf } from './operands.js';
import { resizedAxes, tapsAlong, type ResizedAxis } from './resize-form.js';

type Types = readonly (TensorType | undefined)[];
type Constants = readonly (Reference | undefined)[];

/** The axes of a Resize from its operands X, roi (unused), scales and sizes; an empty operand is an omitted one. */
export function axesOfResize(node: Node, inputs: Types, constants: Constants): readonly ResizedAxis[] {
  const given = (index: number, what: string) => {
    const numbers = knownInts(node, inputs, constants, index, what);
    return numbers?.length === 0 ? undefined : numbers;
  };
  return resizedAxes(node, operand(node, inputs, 0).shape, given(2, 'scales'), given(3, 'sizes'));
}

/** Resize: each output element is the weighted sum of the input elements around its place, on every axis. */
const resize = define(
  'Resize',
  (node, inputs, constants) => {
    const { dtype } = operand(node, inputs, 0);
    if (stringAttribute(node, 'mode', 'nearest') !== 'nearest' && !isFloat(dtype)) {
      throw new ShapeError(node, `interpolates ${dtype}; a type of floats would be accepted`);
    }
    const shape = axesOfResize(node, inputs, constants).map(({ output }) => output);
    return [{ dtype, shape: checkedShape(node, shape) }];
  },
  (node, inputs, [type]) => {
    const { data, shape } = operand(node, inputs, 0);
    const taps = axesOfResize(node, inputs, inputs).map((axis) => tapsAlong(node, axis));
    const [from, to] = [stridesOf(shape), stridesOf(type!.shape)];
    const sumAt = (element: number, axis: number, offset: number): number => {
      if (axis === shape.length) return data[offset]!;
      const around = taps[axis]![Math.floor(element / to[axis]!) % type!.shape[axis]!]!;
      return around.reduce(
        (sum, { at, weight }) =>
          weight === 0 ? sum : sum + weight * sumAt(element, axis + 1, offset + at * from[axis]!),
        0,
      );
    };
    return [
      valueOf(
        type!,
        valueOf(type!).data.map((_, i) => sumAt(i, 0, 0)),
      ),
    ];
  },
);

export const resizeOperators: readonly OperatorDefinition[] = [resize];
