import { stridesOf, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition } from './definition.js';
import { einsumOf } from './einsum-form.js';
import { keeperOf } from './integers.js';
import { define, operand, sameType, valueOf } from './operands.js';
import { offsetsOf } from './walk.js';

/** How far an operand's offset moves with each label: along all of its axes that have it. */
function stridesBy(type: TensorType, labels: readonly string[], wanted: readonly string[]): number[] {
  const strides = stridesOf(type.shape);
  return wanted.map((label) =>
    labels.reduce(
      (sum, each, axis) => (each === label && type.shape[axis] !== 1 ? sum + strides[axis]! : sum),
      0,
    ),
  );
}

/** Einsum: the product of one element of every operand, summed over all labels that the output does not have. */
const einsum = define(
  'Einsum',
  (node, inputs) => {
    const types = inputs.map((_, i) => operand(node, inputs, i, 'number'));
    types.forEach((type, i) => sameType(node, types[0]!, type, i));
    const first = operand(node, inputs, 0);
    const { output, lengths } = einsumOf(
      node,
      types.map(({ shape }) => shape),
    );
    return [{ dtype: first.dtype, shape: output.map((label) => lengths.get(label)!) }];
  },
  (node, inputs, [type]) => {
    const values = inputs.map((_, i) => operand(node, inputs, i));
    const { operands, output, lengths } = einsumOf(
      node,
      values.map(({ shape }) => shape),
    );
    const summed = [...lengths.keys()].filter((label) => !output.includes(label));
    const lengthsAlong = (labels: readonly string[]) => labels.map((label) => lengths.get(label)!);
    const walks = values.map((value, i) => ({
      data: value.data,
      starts: offsetsOf(type!.shape, stridesBy(value, operands[i]!, output)),
      steps: offsetsOf(lengthsAlong(summed), stridesBy(value, operands[i]!, summed)),
    }));
    const keep = keeperOf(type!.dtype);
    const terms = walks[0]!.steps.length;
    const result = valueOf(type!);
    for (let i = 0; i < result.data.length; i++) {
      let sum = 0;
      for (let s = 0; s < terms; s++) {
        sum += walks.reduce((product, { data, starts, steps }) => product * data[starts[i]! + steps[s]!]!, 1);
      }
      result.data[i] = keep(sum);
    }
    return [result];
  },
);

export const einsumOperators: readonly OperatorDefinition[] = [einsum];
