import { ShapeError } from '../errors.js';
import { elementType } from '../ir/element.js';
import { intAttribute, type Node } from '../ir/graph.js';
import type { DataType } from '../ir/tensor.js';
import type { OperatorDefinition, Reference } from './definition.js';
import { keeperOf } from './integers.js';
import { define, operand, valueOf } from './operands.js';

function targetOf(node: Node): DataType {
  const code = intAttribute(node, 'to', 0);
  const dtype = elementType(code);
  if (dtype !== undefined && dtype !== 'string') return dtype;
  throw new ShapeError(
    node,
    `casts to ONNX element type ${code}; a float, integer or bool type would be accepted`,
  );
}

/** Cast: floats to integers towards zero, anything to bool as "is not zero". Floats are not rounded here. */
const cast = define(
  'Cast',
  (node, inputs) => [{ dtype: targetOf(node), shape: operand(node, inputs, 0).shape }],
  (node, inputs, [type]) => [valueOf(type!, operand(node, inputs, 0).data.map(keeperOf(type!.dtype)))],
);

/** CastLike: a Cast to the element type of the second input, whose values do not matter. */
const castLike = define(
  'CastLike',
  (node, inputs) => [{ dtype: operand(node, inputs, 1).dtype, shape: operand(node, inputs, 0).shape }],
  (node, inputs, [type]) => [valueOf(type!, operand(node, inputs, 0).data.map(keeperOf(type!.dtype)))],
);

/** Clip: to [min, max], each optional; where they cross, max wins. */
const clip = define(
  'Clip',
  (node, inputs) => {
    const x = operand(node, inputs, 0, 'number');
    for (const index of [1, 2]) {
      const bound = inputs[index];
      if (bound && (bound.dtype !== x.dtype || bound.shape.some((dim) => dim !== 1))) {
        throw new ShapeError(node, `input ${index} must be one ${x.dtype}`);
      }
    }
    return [{ dtype: x.dtype, shape: x.shape }];
  },
  (node, inputs, [type]) => {
    const low = inputs[1]?.data[0] ?? -Infinity;
    const high = inputs[2]?.data[0] ?? Infinity;
    return [
      valueOf(
        type!,
        operand(node, inputs, 0).data.map((x) => Math.min(Math.max(x, low), high)),
      ),
    ];
  },
);

/**
 * Dropout in inference: the input, and a mask of ones. Training draws its own mask, so the graph passes
 * write it as a product with a mask before anything runs (docs/architecture.md).
 */
const dropout = define(
  'Dropout',
  (node, inputs) => {
    const { dtype, shape } = operand(node, inputs, 0, 'float');
    return [
      { dtype, shape },
      { dtype: 'bool', shape },
    ];
  },
  (node, inputs, [type]) => {
    if (isTraining(inputs[2])) {
      throw new ShapeError(node, 'is in training mode, where its mask is an input: decompose it first');
    }
    const mask: Reference = valueOf({ dtype: 'bool', shape: type!.shape });
    mask.data.fill(1);
    return [valueOf(type!, operand(node, inputs, 0).data), mask];
  },
);

function isTraining(mode: Reference | undefined): boolean {
  return mode !== undefined && mode.data[0] !== 0;
}

export const conversionOperators: readonly OperatorDefinition[] = [cast, castLike, clip, dropout];
