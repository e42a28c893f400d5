import { ShapeError } from '../errors.js';
import { floatAttribute, intAttribute, intsAttribute, type Node } from '../ir/graph.js';
import { formatType, sizeOf, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition, Reference } from './definition.js';
import { momentsOf } from './normalization.js';
import { axesIn, define, operand, sameType, valueOf } from './operands.js';
import { lanesOf } from './walk.js';

/**
 * X over [N, C, ...] with a scale and a bias for each channel.
 * @throws ShapeError where one of them has another length
 */
function perChannel(node: Node, inputs: readonly (TensorType | undefined)[]): TensorType[] {
  const x = operand(node, inputs, 0, 'float');
  if (x.shape.length < 2) throw new ShapeError(node, `X is ${formatType(x)}; it needs at least N and C`);
  for (const index of [1, 2]) {
    const each = operand(node, inputs, index, 'float');
    sameType(node, x, each, index);
    if (each.shape.length !== 1 || each.shape[0] !== x.shape[1]) {
      throw new ShapeError(node, `input ${index} is ${formatType(each)}; [${x.shape[1]!}] would be accepted`);
    }
  }
  return [{ dtype: x.dtype, shape: x.shape }];
}

/** Each block of `size` elements brought to mean 0 and variance 1, then scaled and shifted per channel. */
function inBlocks(
  node: Node,
  inputs: readonly (Reference | undefined)[],
  type: TensorType,
  size: number,
): Reference {
  const { shape, data } = operand(node, inputs, 0);
  const [scale, bias] = [operand(node, inputs, 1).data, operand(node, inputs, 2).data];
  const epsilon = floatAttribute(node, 'epsilon', Math.fround(1e-5));
  const [channels, space] = [shape[1]!, sizeOf(shape.slice(2))];
  const result = valueOf(type);
  for (let start = 0; start < data.length; start += size) {
    const { mean, variance } = momentsOf(data.subarray(start, start + size));
    const inverse = 1 / Math.sqrt(variance + epsilon);
    for (let i = start; i < start + size; i++) {
      const channel = Math.floor(i / space) % channels;
      result.data[i] = (data[i]! - mean) * inverse * scale[channel]! + bias[channel]!;
    }
  }
  return result;
}

/** InstanceNormalization: every channel of every image by its own mean and variance. */
const instanceNormalization = define('InstanceNormalization', perChannel, (node, inputs, [type]) => [
  inBlocks(node, inputs, type!, sizeOf(type!.shape.slice(2))),
]);

/** GroupNormalization: every group of neighbouring channels of every image by its own mean and variance. */
const groupNormalization = define(
  'GroupNormalization',
  (node, inputs) => {
    const [type] = perChannel(node, inputs);
    const [channels, groups] = [type!.shape[1]!, intAttribute(node, 'num_groups', 0)];
    if (groups < 1 || channels % groups !== 0) {
      throw new ShapeError(node, `num_groups is ${groups}; a divisor of ${channels} would be accepted`);
    }
    return [type!];
  },
  (node, inputs, [type]) => [
    inBlocks(node, inputs, type!, sizeOf(type!.shape.slice(1)) / intAttribute(node, 'num_groups', 1)),
  ],
);

/** MeanVarianceNormalization: (x - mean) / (standard deviation + 1e-9) over `axes`. */
const meanVarianceNormalization = define(
  'MeanVarianceNormalization',
  (node, inputs) => {
    const { dtype, shape } = operand(node, inputs, 0, 'float');
    axesIn(node, intsAttribute(node, 'axes') ?? [0, 2, 3], shape.length);
    return [{ dtype, shape }];
  },
  (node, inputs, [type]) => {
    const { shape, data } = operand(node, inputs, 0);
    const axes = axesIn(node, intsAttribute(node, 'axes') ?? [0, 2, 3], shape.length);
    const { starts, steps } = lanesOf(shape, axes);
    const result = valueOf(type!);
    for (const start of starts) {
      const { mean, variance } = momentsOf(Float64Array.from(steps, (step) => data[start + step]!));
      for (const step of steps) {
        result.data[start + step] = (data[start + step]! - mean) / (Math.sqrt(variance) + 1e-9);
      }
    }
    return [result];
  },
);

export const groupNormalizationOperators: readonly OperatorDefinition[] = [
  instanceNormalization,
  groupNormalization,
  meanVarianceNormalization,
];
