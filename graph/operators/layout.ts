import { ShapeError } from '../errors.js';
import { intAttribute, type Node } from '../ir/graph.js';
import { formatType, sizeOf, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition, Reference } from './definition.js';
import { axesIn, axisIn, define, knownInts, operand, requiredInts, valueOf } from './operands.js';

type Types = readonly (TensorType | undefined)[];
type Constants = readonly (Reference | undefined)[];

/** Operators that only give the same elements, in the same order, another shape. */
const LAYOUT: Readonly<
  Record<string, (node: Node, inputs: Types, constants: Constants) => readonly number[]>
> = {
  Flatten: (node, inputs) => {
    const { shape } = operand(node, inputs, 0);
    const axis = intAttribute(node, 'axis', 1);
    const split = axis === shape.length ? axis : axis === 0 ? 0 : axisIn(node, axis, shape.length);
    return [sizeOf(shape.slice(0, split)), sizeOf(shape.slice(split))];
  },
  Identity: (node, inputs) => operand(node, inputs, 0).shape,
  Reshape: reshape,
  Squeeze: (node, inputs, constants) => {
    const type = operand(node, inputs, 0);
    const given = knownInts(node, inputs, constants, 1, 'axes');
    if (!given) return type.shape.filter((dim) => dim !== 1);
    const gone = new Set(axesIn(node, given, type.shape.length));
    for (const axis of gone) {
      if (type.shape[axis] !== 1) {
        throw new ShapeError(node, `cannot squeeze axis ${axis} of ${formatType(type)}: its length is not 1`);
      }
    }
    return type.shape.filter((_, axis) => !gone.has(axis));
  },
  Unsqueeze: (node, inputs, constants) => {
    const { shape } = operand(node, inputs, 0);
    const given = requiredInts(node, inputs, constants, 1, 'axes');
    const rank = shape.length + given.length;
    const fresh = new Set(axesIn(node, given, rank));
    let next = 0;
    return Array.from({ length: rank }, (_, axis) => (fresh.has(axis) ? 1 : shape[next++]!));
  },
};

/** 0 copies the input's length there (unless `allowzero`), one -1 takes what is left. */
function reshape(node: Node, inputs: Types, constants: Constants): readonly number[] {
  const type = operand(node, inputs, 0);
  const asked = requiredInts(node, inputs, constants, 1, 'shape');
  const literal = intAttribute(node, 'allowzero', 0) === 1;
  const shape = asked.map((dim, axis) => {
    if (dim !== 0 || literal) return dim;
    const copied = type.shape[axis];
    if (copied === undefined) {
      throw new ShapeError(
        node,
        `shape [${asked.join(', ')}] copies dimension ${axis} of ${formatType(type)}`,
      );
    }
    return copied;
  });
  const open = shape.indexOf(-1);
  const size = sizeOf(type.shape);
  if (open >= 0) {
    const rest = sizeOf(shape.filter((_, axis) => axis !== open));
    shape[open] = rest === 0 ? 0 : size / rest;
  }
  if (!shape.every((dim) => Number.isInteger(dim) && dim >= 0) || sizeOf(shape) !== size) {
    throw new ShapeError(
      node,
      `cannot reshape ${formatType(type)} (${size} elements) to [${asked.join(', ')}]`,
    );
  }
  return shape;
}

export const layoutOperators: readonly OperatorDefinition[] = Object.entries(LAYOUT).map(
  ([operator, shapeOf]) =>
    define(
      operator,
      (node, inputs, constants) => [
        { dtype: operand(node, inputs, 0).dtype, shape: shapeOf(node, inputs, constants) },
      ],
      (node, inputs, [type]) => [valueOf(type!, operand(node, inputs, 0).data)],
    ),
);
