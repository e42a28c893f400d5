import { ShapeError } from '../errors.js';
import { intAttribute } from '../ir/graph.js';
import { formatType, sizeOf } from '../ir/tensor.js';
import type { OperatorDefinition } from './definition.js';
import { keeperOf } from './integers.js';
import { axisIn, define, operand, valueOf } from './operands.js';
import { lanesOf } from './walk.js';

/** CumSum: the sum of all elements up to each, along an axis; without the element itself where `exclusive`. */
const cumSum = define(
  'CumSum',
  (node, inputs, constants) => {
    const { dtype, shape } = operand(node, inputs, 0, 'number');
    const axis = operand(node, inputs, 1, 'integer');
    if (sizeOf(axis.shape) !== 1) {
      throw new ShapeError(node, `its axis is ${formatType(axis)}; one integer would be accepted`);
    }
    const known = constants[1]?.data[0];
    if (known !== undefined) axisIn(node, known, shape.length);
    return [{ dtype, shape }];
  },
  (node, inputs, [type]) => {
    const { shape, data } = operand(node, inputs, 0);
    const axis = axisIn(node, operand(node, inputs, 1).data[0]!, shape.length);
    const exclusive = intAttribute(node, 'exclusive', 0) === 1;
    const { starts, steps } = lanesOf(shape, [axis]);
    const order = intAttribute(node, 'reverse', 0) === 1 ? steps.toReversed() : steps;
    const keep = keeperOf(type!.dtype);
    const result = valueOf(type!);
    for (const start of starts) {
      let sum = 0;
      for (const step of order) {
        const next = keep(sum + data[start + step]!);
        result.data[start + step] = exclusive ? sum : next;
        sum = next;
      }
    }
    return [result];
  },
);

export const cumulativeOperators: readonly OperatorDefinition[] = [cumSum];
