import { ShapeError } from '../errors.js';
import { intsAttribute, type Node } from '../ir/graph.js';
import { stridesOf } from '../ir/tensor.js';
import type { OperatorDefinition } from './definition.js';
import { axesIn, checkedShape, define, operand, requiredInts, valueOf } from './operands.js';

/**
 * For every axis, where its first element comes from (negative: so many zeros come first) and how long it becomes.
 * @param target the operand "shape": the lengths of the axes in the attribute `axes`, or of all
 */
export function centredAxes(
  node: Node,
  shape: readonly number[],
  target: readonly number[],
): readonly { readonly start: number; readonly length: number }[] {
  const axes = axesIn(node, intsAttribute(node, 'axes') ?? shape.map((_, axis) => axis), shape.length);
  if (target.length !== axes.length) {
    throw new ShapeError(
      node,
      `its shape is [${target.join(', ')}]; a length for each of ${axes.length} axes would be accepted`,
    );
  }
  const result = shape.map((length) => ({ start: 0, length }));
  axes.forEach((axis, i) => {
    const [have, want] = [shape[axis]!, target[i]!];
    // of an odd difference, the larger half is at the end
    const start = have >= want ? Math.floor((have - want) / 2) : -Math.floor((want - have) / 2);
    result[axis] = { start, length: want };
  });
  return result;
}

/** CenterCropPad: the middle of longer axes, zeros around shorter ones. */
const centerCropPad = define(
  'CenterCropPad',
  (node, inputs, constants) => {
    const { dtype, shape } = operand(node, inputs, 0);
    const target = requiredInts(node, inputs, constants, 1, 'shape');
    const lengths = centredAxes(node, shape, target).map(({ length }) => length);
    return [{ dtype, shape: checkedShape(node, lengths) }];
  },
  (node, inputs, [type]) => {
    const { shape, data } = operand(node, inputs, 0);
    const axes = centredAxes(node, shape, Array.from(operand(node, inputs, 1).data));
    const [from, to] = [stridesOf(shape), stridesOf(type!.shape)];
    const elements = valueOf(type!).data.map((_, i) => {
      let offset = 0;
      for (const [axis, { start, length }] of axes.entries()) {
        const at = (Math.floor(i / to[axis]!) % length) + start;
        if (at < 0 || at >= shape[axis]!) return 0;
        offset += at * from[axis]!;
      }
      return data[offset]!;
    });
    return [valueOf(type!, elements)];
  },
);

export const centerCropPadOperators: readonly OperatorDefinition[] = [centerCropPad];
