import { ShapeError } from '../errors.js';
import type { Node } from '../ir/graph.js';
import { formatType, sameShape } from '../ir/tensor.js';
import type { OperatorDefinition } from './definition.js';
import { indexIn } from './gather.js';
import { checkedShape, define, knownInts, operand, valueOf } from './operands.js';
import { declaredWindow, kernelShape } from './window.js';

/** The shape that MaxPool had: asked for, or the smallest that the windows cover. */
export function unpooledShape(
  node: Node,
  shape: readonly number[],
  asked: readonly number[] | undefined,
): readonly number[] {
  const spatial = shape.slice(2);
  const window = declaredWindow(node, kernelShape(node, spatial.length));
  const least = [
    ...shape.slice(0, 2),
    ...spatial.map(
      (length, i) =>
        (length - 1) * window.strides[i]! + window.kernel[i]! - window.begins[i]! - window.ends[i]!,
    ),
  ];
  if (!asked) return checkedShape(node, least);
  if (asked.length === least.length && asked.every((dim, axis) => dim >= least[axis]!)) return asked;
  throw new ShapeError(
    node,
    `output_shape is [${asked.join(', ')}]; at least [${least.join(', ')}] would be accepted`,
  );
}

/** MaxUnpool: each element at its place in the flat output (MaxPool's second output), zeros elsewhere. */
const maxUnpool = define(
  'MaxUnpool',
  (node, inputs, constants) => {
    const x = operand(node, inputs, 0, 'float');
    const places = operand(node, inputs, 1, 'integer');
    if (x.shape.length < 3 || !sameShape(x.shape, places.shape)) {
      throw new ShapeError(
        node,
        `X is ${formatType(x)} and I ${formatType(places)}; both need one shape of N, C and space`,
      );
    }
    const asked = knownInts(node, inputs, constants, 2, 'output_shape');
    return [{ dtype: x.dtype, shape: unpooledShape(node, x.shape, asked) }];
  },
  (node, inputs, [type]) => {
    const { data } = operand(node, inputs, 0);
    const result = valueOf(type!);
    operand(node, inputs, 1).data.forEach((place, i) => {
      result.data[indexIn(node, place, result.data.length)] = data[i]!;
    });
    return [result];
  },
);

export const unpoolingOperators: readonly OperatorDefinition[] = [maxUnpool];
