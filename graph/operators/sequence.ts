import { ShapeError } from '../errors.js';
import { intAttribute, type Node } from '../ir/graph.js';
import { formatType, stridesOf, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition } from './definition.js';
import { define, operand, valueOf } from './operands.js';

/** The axis of samples and that of time: the first two, in either order. */
function axesOf(node: Node): { readonly batch: number; readonly time: number } {
  const [batch, time] = [intAttribute(node, 'batch_axis', 1), intAttribute(node, 'time_axis', 0)];
  if (batch + time === 1 && batch * time === 0) return { batch, time };
  throw new ShapeError(
    node,
    `batch_axis is ${batch} and time_axis ${time}; 0 and 1 or 1 and 0 would be accepted`,
  );
}

/** ReverseSequence: of each sample, the first `sequence_lens` steps in reverse; the others stay. */
const reverseSequence = define(
  'ReverseSequence',
  (node, inputs) => {
    const x = operand(node, inputs, 0);
    const lengths: TensorType = operand(node, inputs, 1, 'integer');
    const { batch } = axesOf(node);
    if (x.shape.length < 2 || lengths.shape.length !== 1 || lengths.shape[0] !== x.shape[batch]) {
      throw new ShapeError(
        node,
        `X is ${formatType(x)} and sequence_lens ${formatType(lengths)}; one length for each sample would be accepted`,
      );
    }
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  (node, inputs, [type]) => {
    const { shape, data } = operand(node, inputs, 0);
    const lengths = operand(node, inputs, 1).data;
    const { batch, time } = axesOf(node);
    const strides = stridesOf(shape);
    const steps = shape[time]!;
    return [
      valueOf(
        type!,
        data.map((_, i) => {
          const at = Math.floor(i / strides[time]!) % steps;
          const length = lengths[Math.floor(i / strides[batch]!) % shape[batch]!]!;
          if (length < 0 || length > steps) {
            throw new ShapeError(node, `a sequence length is ${length}; 0 to ${steps} would be accepted`);
          }
          return data[at < length ? i + (length - 1 - 2 * at) * strides[time]! : i]!;
        }),
      ),
    ];
  },
);

export const sequenceOperators: readonly OperatorDefinition[] = [reverseSequence];
