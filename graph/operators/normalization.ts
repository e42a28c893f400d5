import { ShapeError } from '../errors.js';
import { floatAttribute, intAttribute, type Node } from '../ir/graph.js';
import { formatType, sizeOf, type TensorType } from '../ir/tensor.js';
import { broadcastTo } from './binary.js';
import type { OperatorDefinition, Reference } from './definition.js';
import { axisIn, define, operand, sameType, valueOf } from './operands.js';
import { broadcastShapes, lanesOf } from './walk.js';

/** What an operator makes of one lane of numbers, along its axis. */
type OfLane = (lane: Float64Array, node: Node) => Float64Array;

const ALONG_AXIS: Readonly<Record<string, OfLane>> = {
  /** e^x / sum e^x, shifted by the largest so that nothing overflows. */
  Softmax: (lane) => {
    const largest = lane.reduce((best, x) => Math.max(best, x), -Infinity);
    const powers = lane.map((x) => Math.exp(x - largest));
    const sum = powers.reduce((total, x) => total + x, 0);
    return powers.map((x) => x / sum);
  },
  LogSoftmax: logSoftmax,
  /** 1 at the first largest element, 0 elsewhere. */
  Hardmax: (lane) => {
    const best = lane.reduce((at, x, i) => (x > lane[at]! ? i : at), 0);
    return lane.map((_, i) => (i === best ? 1 : 0));
  },
};

/** The logarithm of Softmax, without forming what is too small to hold. */
export function logSoftmax(lane: Float64Array): Float64Array {
  const largest = lane.reduce((best, x) => Math.max(best, x), -Infinity);
  const sum = lane.reduce((total, x) => total + Math.exp(x - largest), 0);
  return lane.map((x) => x - largest - Math.log(sum));
}

/** An operator that works on each lane along `axis` by itself. @param check of the attributes */
export function alongAxis(
  operator: string,
  of: OfLane,
  check: (node: Node) => void = () => undefined,
): OperatorDefinition {
  return define(
    operator,
    (node, inputs) => {
      const { dtype, shape } = operand(node, inputs, 0, 'float');
      check(node);
      axisIn(node, intAttribute(node, 'axis', -1), shape.length);
      return [{ dtype, shape }];
    },
    (node, inputs, [type]) => {
      const { shape, data } = operand(node, inputs, 0);
      const { starts, steps } = lanesOf(shape, [axisIn(node, intAttribute(node, 'axis', -1), shape.length)]);
      const result = valueOf(type!);
      for (const start of starts) {
        const lane = Float64Array.from(steps, (step) => data[start + step]!);
        of(lane, node).forEach((x, j) => (result.data[start + steps[j]!] = x));
      }
      return [result];
    },
  );
}

/** The mean of some numbers and the mean square of their distance from it. */
export function momentsOf(values: Float64Array): { readonly mean: number; readonly variance: number } {
  const mean = values.reduce((sum, x) => sum + x, 0) / values.length;
  return { mean, variance: values.reduce((sum, x) => sum + (x - mean) ** 2, 0) / values.length };
}

/** LayerNormalization: each block from `axis` on brought to mean 0 and variance 1, then scaled and shifted. */
export const layerNormalization = define(
  'LayerNormalization',
  (node, inputs) => {
    const x = operand(node, inputs, 0, 'float');
    const axis = axisIn(node, intAttribute(node, 'axis', -1), x.shape.length);
    const block = x.shape.slice(axis);
    for (const index of [1, 2]) {
      const scale = index === 1 ? operand(node, inputs, 1) : inputs[2];
      if (!scale) continue;
      sameType(node, x, scale, index);
      if (
        scale.shape.length > x.shape.length ||
        sizeOf(broadcastShapes(node, [scale.shape, x.shape])) !== sizeOf(x.shape)
      ) {
        throw new ShapeError(
          node,
          `input ${index} is ${formatType(scale)}; [${block.join(', ')}] would be accepted`,
        );
      }
    }
    const statistics: TensorType = {
      dtype: 'float32',
      shape: x.shape.map((dim, at) => (at < axis ? dim : 1)),
    };
    return [{ dtype: x.dtype, shape: x.shape }, statistics, statistics];
  },
  (node, inputs, [type]) => {
    const { shape, data } = operand(node, inputs, 0);
    const axis = axisIn(node, intAttribute(node, 'axis', -1), shape.length);
    const size = sizeOf(shape.slice(axis));
    const scale = broadcastTo(operand(node, inputs, 1), shape);
    const shift = inputs[2] && broadcastTo(inputs[2], shape);
    const epsilon = floatAttribute(node, 'epsilon', Math.fround(1e-5));
    const statistics: TensorType = { dtype: 'float32', shape: shape.map((dim, at) => (at < axis ? dim : 1)) };
    const [result, means, inverses] = [valueOf(type!), valueOf(statistics), valueOf(statistics)];
    means.data.forEach((_, row) => {
      const { mean, variance } = momentsOf(data.subarray(row * size, (row + 1) * size));
      const inverse = 1 / Math.sqrt(variance + epsilon);
      means.data[row] = mean;
      inverses.data[row] = inverse;
      for (let i = row * size; i < (row + 1) * size; i++) {
        result.data[i] = (data[i]! - mean) * inverse * scale[i]! + (shift?.[i] ?? 0);
      }
    });
    return [result, means, inverses];
  },
);

/**
 * BatchNormalization over [N, C, ...]: y = (x - mean) / sqrt(variance + epsilon) * scale + bias per channel.
 * Inference takes mean and variance from its inputs; `training_mode` takes them from the batch (population
 * variance) and gives the running ones, input * momentum + batch * (1 - momentum), as outputs 1 and 2.
 */
const batchNormalization = define(
  'BatchNormalization',
  (node, inputs) => {
    const x = operand(node, inputs, 0, 'float');
    if (x.shape.length < 2) throw new ShapeError(node, `X is ${formatType(x)}; it needs at least N and C`);
    const channels: TensorType[] = [1, 2, 3, 4].map((index) => {
      const each = operand(node, inputs, index, 'float');
      if (each.shape.length !== 1 || each.shape[0] !== x.shape[1]) {
        throw new ShapeError(
          node,
          `input ${index} is ${formatType(each)}; [${x.shape[1]!}] would be accepted`,
        );
      }
      return { dtype: each.dtype, shape: each.shape };
    });
    return [{ dtype: x.dtype, shape: x.shape }, channels[2]!, channels[3]!];
  },
  (node, inputs, [type, meanType, varianceType]) => {
    const { shape, data } = operand(node, inputs, 0);
    const [scale, bias, givenMean, givenVariance] = [1, 2, 3, 4].map((i) => operand(node, inputs, i).data);
    const epsilon = floatAttribute(node, 'epsilon', Math.fround(1e-5));
    const momentum = floatAttribute(node, 'momentum', Math.fround(0.9));
    const training = intAttribute(node, 'training_mode', 0) === 1;
    const result = valueOf(type!);
    const means = Float64Array.from(givenMean!);
    const variances = Float64Array.from(givenVariance!);
    const axes = shape.map((_, axis) => axis).filter((axis) => axis !== 1);
    const { starts, steps } = lanesOf(shape, axes);
    starts.forEach((start, c) => {
      const batch = momentsOf(Float64Array.from(steps, (step) => data[start + step]!));
      const { mean, variance } = training ? batch : { mean: givenMean![c]!, variance: givenVariance![c]! };
      const factor = scale![c]! / Math.sqrt(variance + epsilon);
      for (const step of steps) result.data[start + step] = (data[start + step]! - mean) * factor + bias![c]!;
      if (!training) return;
      means[c] = givenMean![c]! * momentum + mean * (1 - momentum);
      variances[c] = givenVariance![c]! * momentum + variance * (1 - momentum);
    });
    const outputs: Reference[] = [result];
    if (meanType) outputs.push(valueOf(meanType, means));
    if (varianceType) outputs.push(valueOf(varianceType, variances));
    return outputs;
  },
);

export const normalizationOperators: readonly OperatorDefinition[] = [
  ...Object.entries(ALONG_AXIS).map(([operator, of]) => alongAxis(operator, of)),
  layerNormalization,
  batchNormalization,
];
