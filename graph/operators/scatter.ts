import { ShapeError } from '../errors.js';
import { stringAttribute, type Node } from '../ir/graph.js';
import { formatType, sameShape } from '../ir/tensor.js';
import type { OperatorDefinition } from './definition.js';
import { checkElementIndices, elementOffsets, tupleDepth, tupleOffsets } from './gather.js';
import { keeperOf, productOf } from './integers.js';
import { define, operand, sameType, valueOf } from './operands.js';

type Combine = (old: number, update: number) => number;

/** What happens where an update meets an element; several updates of one element are applied in order. */
function combinerOf(node: Node, dtype: Parameters<typeof keeperOf>[0]): Combine {
  const keep = keeperOf(dtype);
  const reduction = stringAttribute(node, 'reduction', 'none');
  switch (reduction) {
    case 'none':
      return (_, update) => update;
    case 'add':
      return (old, update) => keep(old + update);
    case 'mul':
      return (old, update) => keep(productOf(dtype, old, update));
    case 'max':
      return Math.max;
    case 'min':
      return Math.min;
    default:
      throw new ShapeError(node, `reduction is "${reduction}"; none, add, mul, max or min would be accepted`);
  }
}

const scatterElements = define(
  'ScatterElements',
  (node, inputs) => {
    const data = operand(node, inputs, 0);
    const indices = operand(node, inputs, 1, 'integer');
    const updates = operand(node, inputs, 2);
    checkElementIndices(node, data, indices);
    sameType(node, data, updates, 2);
    if (!sameShape(indices.shape, updates.shape)) {
      throw new ShapeError(
        node,
        `updates are ${formatType(updates)} and indices ${formatType(indices)}; both need one shape`,
      );
    }
    combinerOf(node, data.dtype);
    return [{ dtype: data.dtype, shape: data.shape }];
  },
  (node, inputs, [type]) => {
    const data = operand(node, inputs, 0);
    const updates = operand(node, inputs, 2).data;
    const combine = combinerOf(node, data.dtype);
    const result = valueOf(type!, Float64Array.from(data.data));
    elementOffsets(node, data, operand(node, inputs, 1)).forEach((to, i) => {
      result.data[to] = combine(result.data[to]!, updates[i]!);
    });
    return [result];
  },
);

const scatterND = define(
  'ScatterND',
  (node, inputs) => {
    const data = operand(node, inputs, 0);
    const indices = operand(node, inputs, 1, 'integer');
    const updates = operand(node, inputs, 2);
    const depth = tupleDepth(node, data, indices, 0);
    sameType(node, data, updates, 2);
    const expected = [...indices.shape.slice(0, -1), ...data.shape.slice(depth)];
    if (!sameShape(updates.shape, expected)) {
      throw new ShapeError(
        node,
        `updates are ${formatType(updates)}; [${expected.join(', ')}] would be accepted`,
      );
    }
    combinerOf(node, data.dtype);
    return [{ dtype: data.dtype, shape: data.shape }];
  },
  (node, inputs, [type]) => {
    const data = operand(node, inputs, 0);
    const updates = operand(node, inputs, 2).data;
    const combine = combinerOf(node, data.dtype);
    const { offsets, block } = tupleOffsets(node, data, operand(node, inputs, 1), 0);
    const result = valueOf(type!, Float64Array.from(data.data));
    offsets.forEach((to, t) => {
      for (let i = 0; i < block; i++)
        result.data[to + i] = combine(result.data[to + i]!, updates[t * block + i]!);
    });
    return [result];
  },
);

export const scatterOperators: readonly OperatorDefinition[] = [scatterElements, scatterND];
