import { ShapeError } from '../errors.js';
import { intAttribute, type Node } from '../ir/graph.js';
import { formatType, sizeOf, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition } from './definition.js';
import { axisIn, checkedShape, define, operand, requiredInts, valueOf } from './operands.js';
import { lanesOf } from './walk.js';

/** ArgMax and ArgMin: the place of the best element along an axis; the first of equals, or the last. */
function argOperator(operator: string, better: (x: number, best: number) => boolean): OperatorDefinition {
  return define(
    operator,
    (node, inputs) => {
      const { shape } = operand(node, inputs, 0, 'number');
      const axis = axisIn(node, intAttribute(node, 'axis', 0), shape.length);
      const kept = intAttribute(node, 'keepdims', 1) === 1;
      return [{ dtype: 'int64', shape: kept ? shape.with(axis, 1) : shape.toSpliced(axis, 1) }];
    },
    (node, inputs, [type]) => {
      const { shape, data } = operand(node, inputs, 0);
      const { starts, steps } = lanesOf(shape, [axisIn(node, intAttribute(node, 'axis', 0), shape.length)]);
      const last = intAttribute(node, 'select_last_index', 0) === 1;
      const found = Float64Array.from(starts, (start) => {
        let best = 0;
        for (let j = 1; j < steps.length; j++) {
          const [x, y] = [data[start + steps[j]!]!, data[start + steps[best]!]!];
          if (better(x, y) || (last && x === y)) best = j;
        }
        return best;
      });
      return [valueOf(type!, found)];
    },
  );
}

/** TopK: the k largest (or smallest) along an axis, best first, equals in order of their index. */
const topK = define(
  'TopK',
  (node, inputs, constants) => {
    const { dtype, shape } = operand(node, inputs, 0, 'number');
    const axis = axisIn(node, intAttribute(node, 'axis', -1), shape.length);
    const [k] = requiredInts(node, inputs, constants, 1, 'k');
    if (k === undefined || k < 0 || k > shape[axis]!) {
      throw new ShapeError(node, `k is ${k ?? 'empty'}; 0 to ${shape[axis]!} would be accepted`);
    }
    const kept = shape.with(axis, k);
    return [
      { dtype, shape: kept },
      { dtype: 'int64', shape: kept },
    ];
  },
  (node, inputs, [type]) => {
    const { shape, data } = operand(node, inputs, 0);
    const axis = axisIn(node, intAttribute(node, 'axis', -1), shape.length);
    const sign = intAttribute(node, 'largest', 1) === 1 ? -1 : 1;
    const from = lanesOf(shape, [axis]);
    const to = lanesOf(type!.shape, [axis]);
    const values = valueOf(type!);
    const indices = valueOf({ dtype: 'int64', shape: type!.shape });
    from.starts.forEach((start, lane) => {
      const at = (j: number): number => data[start + from.steps[j]!]!;
      const order = Array.from(from.steps.keys()).sort((a, b) => sign * (at(a) - at(b)) || a - b);
      to.steps.forEach((step, rank) => {
        values.data[to.starts[lane]! + step] = at(order[rank]!);
        indices.data[to.starts[lane]! + step] = order[rank]!;
      });
    });
    return [values, indices];
  },
);

/** OneHot: `on` at the index of each position along a new axis of `depth`, `off` elsewhere and for indices outside. */
const oneHot = define(
  'OneHot',
  (node, inputs, constants) => {
    const indices = operand(node, inputs, 0, 'number');
    const known = constants[1]?.data;
    const depth = known?.length === 1 ? Math.trunc(known[0]!) : undefined;
    if (depth === undefined)
      throw new ShapeError(node, 'its depth (input 1) must be one number known from constants');
    const values = operand(node, inputs, 2);
    if (sizeOf(values.shape) !== 2) {
      throw new ShapeError(
        node,
        `values are ${formatType(values)}; two elements, [off, on], would be accepted`,
      );
    }
    return [
      {
        dtype: values.dtype,
        shape: checkedShape(node, indices.shape.toSpliced(oneHotAxis(node, indices), 0, depth)),
      },
    ];
  },
  (node, inputs, [type]) => {
    const indices = operand(node, inputs, 0);
    const [off, on] = operand(node, inputs, 2).data;
    const axis = oneHotAxis(node, indices);
    const depth = type!.shape[axis]!;
    const block = sizeOf(indices.shape.slice(axis));
    const result = valueOf(type!);
    result.data.fill(off!);
    indices.data.forEach((index, i) => {
      const at = index < 0 ? index + depth : index;
      if (at < 0 || at >= depth) return;
      const outer = Math.floor(i / block);
      result.data[(outer * depth + at) * block + (i % block)] = on!;
    });
    return [result];
  },
);

function oneHotAxis(node: Node, indices: TensorType): number {
  return axisIn(node, intAttribute(node, 'axis', -1), indices.shape.length + 1);
}

export const selectionOperators: readonly OperatorDefinition[] = [
  argOperator('ArgMax', (x, best) => x > best),
  argOperator('ArgMin', (x, best) => x < best),
  topK,
  oneHot,
];
