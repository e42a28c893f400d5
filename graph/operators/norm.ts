import { ShapeError } from '../errors.js';
import { floatAttribute, intAttribute, type Node } from '../ir/graph.js';
import { formatType, sizeOf, type TensorType } from '../ir/tensor.js';
import { broadcastTo } from './binary.js';
import type { OperatorDefinition, Reference } from './definition.js';
import { axisIn, define, operand, sameType, valueOf } from './operands.js';
import { alongAxis } from './normalization.js';
import { broadcastShapes } from './walk.js';

/** LpNormalization: each lane along an axis divided by its norm, the sum or the root of squares; zeros stay. */
const lpNormalization = alongAxis(
  'LpNormalization',
  (lane, node) => {
    const norm =
      intAttribute(node, 'p', 2) === 1
        ? lane.reduce((sum, x) => sum + Math.abs(x), 0)
        : Math.sqrt(lane.reduce((sum, x) => sum + x * x, 0));
    return lane.map((x) => (norm === 0 ? 0 : x / norm));
  },
  (node) => {
    const p = intAttribute(node, 'p', 2);
    if (p !== 1 && p !== 2) throw new ShapeError(node, `p is ${p}; 1 or 2 would be accepted`);
  },
);

/**
 * LRN over [N, C, ...]: x / (bias + alpha / size * s)^beta with s the sum of squares over the `size` channels
 * around x's own, those that exist.
 */
const localResponseNormalization = define(
  'LRN',
  (node, inputs) => {
    const x = operand(node, inputs, 0, 'float');
    if (x.shape.length < 2) throw new ShapeError(node, `X is ${formatType(x)}; it needs at least N and C`);
    const size = intAttribute(node, 'size', 0);
    if (size < 1) throw new ShapeError(node, `size is ${size}; 1 channel or more would be accepted`);
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  (node, inputs, [type]) => {
    const { shape, data } = operand(node, inputs, 0);
    const size = intAttribute(node, 'size', 1);
    const alpha = floatAttribute(node, 'alpha', Math.fround(0.0001));
    const beta = floatAttribute(node, 'beta', 0.75);
    const bias = floatAttribute(node, 'bias', 1);
    const [channels, space] = [shape[1]!, sizeOf(shape.slice(2))];
    const result = valueOf(type!);
    data.forEach((x, i) => {
      const channel = Math.floor(i / space) % channels;
      const first = Math.max(0, channel - Math.floor((size - 1) / 2));
      const last = Math.min(channels - 1, channel + Math.ceil((size - 1) / 2));
      let squares = 0;
      for (let c = first; c <= last; c++) squares += data[i + (c - channel) * space]! ** 2;
      result.data[i] = x / (bias + (alpha / size) * squares) ** beta;
    });
    return [result];
  },
);

/**
 * RMSNormalization: each block from `axis` on divided by the root of its mean square, then scaled.
 * @returns the type of Y, which is the scale's, and of the inverse roots, with axes of length 1
 */
function inferRmsNormalization(node: Node, inputs: readonly (TensorType | undefined)[]): TensorType[] {
  const [x, scale] = [operand(node, inputs, 0, 'float'), operand(node, inputs, 1, 'float')];
  const axis = axisIn(node, intAttribute(node, 'axis', -1), x.shape.length);
  const ones = x.shape.map((dim, at) => (at < axis ? 1 : dim));
  if (
    scale.shape.length > x.shape.length ||
    sizeOf(broadcastShapes(node, [scale.shape, ones])) !== sizeOf(ones)
  ) {
    throw new ShapeError(
      node,
      `its scale is ${formatType(scale)}; [${x.shape.slice(axis).join(', ')}] would be accepted`,
    );
  }
  const statistics = x.shape.map((dim, at) => (at < axis ? dim : 1));
  return [
    { dtype: scale.dtype, shape: x.shape },
    { dtype: 'float32', shape: statistics },
  ];
}

/** The meaning of RMSNormalization for any scale that broadcasts to x. */
export function rmsNormalization(
  x: Reference,
  scale: Reference,
  axis: number,
  epsilon: number,
  [type, statistics]: readonly TensorType[],
): Reference[] {
  const size = sizeOf(x.shape.slice(axis));
  const factors = broadcastTo(scale, x.shape);
  const [result, inverses] = [valueOf(type!), valueOf(statistics!)];
  inverses.data.forEach((_, row) => {
    const block = x.data.subarray(row * size, (row + 1) * size);
    const inverse = 1 / Math.sqrt(block.reduce((sum, each) => sum + each * each, 0) / size + epsilon);
    inverses.data[row] = inverse;
    block.forEach((each, j) => (result.data[row * size + j] = each * inverse * factors[row * size + j]!));
  });
  return [result, inverses];
}

function evaluateRmsNormalization(
  node: Node,
  inputs: readonly (Reference | undefined)[],
  types: readonly TensorType[],
): Reference[] {
  const x = operand(node, inputs, 0);
  const axis = axisIn(node, intAttribute(node, 'axis', -1), x.shape.length);
  const epsilon = floatAttribute(node, 'epsilon', Math.fround(1e-5));
  return rmsNormalization(x, operand(node, inputs, 1), axis, epsilon, types);
}

/** RMSNormalization of opset 23 has one output. */
const rms = define(
  'RMSNormalization',
  (node, inputs) => inferRmsNormalization(node, inputs).slice(0, 1),
  (node, inputs) => evaluateRmsNormalization(node, inputs, inferRmsNormalization(node, inputs)).slice(0, 1),
);

/**
 * onnxruntime's older name for RMSNormalization, with the inverse roots as a second output. It writes the operator
 * into ai.onnx, which does not have it.
 */
const simplifiedLayerNormalization = define(
  'SimplifiedLayerNormalization',
  (node, inputs) => {
    sameType(node, operand(node, inputs, 0), operand(node, inputs, 1), 1);
    return inferRmsNormalization(node, inputs);
  },
  evaluateRmsNormalization,
);

export const normOperators: readonly OperatorDefinition[] = [
  lpNormalization,
  localResponseNormalization,
  rms,
  simplifiedLayerNormalization,
];
