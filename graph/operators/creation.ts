import { ShapeError } from '../errors.js';
import { elementType } from '../ir/element.js';
import { intAttribute, type Node } from '../ir/graph.js';
import { sizeOf, stridesOf, tensorOf, type Tensor, type TensorType } from '../ir/tensor.js';
import { toReference } from '../reference/value.js';
import type { OperatorDefinition } from './definition.js';
import { checkedShape, define, operand, ranked, requiredInts, sameType, valueOf } from './operands.js';

/** Shape: the input's lengths from `start` to `end`, which are clamped to its rank. */
const shape = define(
  'Shape',
  (node, inputs) => [{ dtype: 'int64', shape: [shapeSlice(node, operand(node, inputs, 0)).length] }],
  (node, inputs, [type]) => [valueOf(type!, Float64Array.from(shapeSlice(node, operand(node, inputs, 0))))],
);

function shapeSlice(node: Node, type: TensorType): readonly number[] {
  const rank = type.shape.length;
  return type.shape.slice(intAttribute(node, 'start', 0), intAttribute(node, 'end', rank));
}

const size = define(
  'Size',
  (node, inputs) => {
    operand(node, inputs, 0);
    return [{ dtype: 'int64', shape: [] }];
  },
  (node, inputs, [type]) => [valueOf(type!, Float64Array.of(sizeOf(operand(node, inputs, 0).shape)))],
);

/** Constant, in the one form that the importer leaves: a tensor in `value`. */
const constant = define(
  'Constant',
  (node) => {
    const { dtype, shape: dims } = constantValue(node);
    return [{ dtype, shape: dims }];
  },
  (node) => [toReference(constantValue(node))],
);

function constantValue(node: Node): Tensor {
  const value = node.attributes['value'];
  if (value?.kind === 'tensor') return value.value;
  throw new ShapeError(node, 'has no tensor in its attribute "value"');
}

const constantOfShape = define(
  'ConstantOfShape',
  (node, inputs, constants) => {
    const dims = requiredInts(node, inputs, constants, 0, 'shape');
    return [{ dtype: fillOf(node).dtype, shape: checkedShape(node, dims) }];
  },
  (node, _, [type]) => {
    const result = valueOf(type!);
    result.data.fill(toReference(fillOf(node)).data[0]!);
    return [result];
  },
);

function fillOf(node: Node): Tensor {
  const value = node.attributes['value'];
  if (!value) return tensorOf('float32', [1], [0]);
  if (value.kind === 'tensor' && value.value.data.length === 1) return value.value;
  throw new ShapeError(node, 'its attribute "value" must be a tensor of one element');
}

/** Range: start, start + delta, ... below limit. Its length is its type, so all three must be known. */
const range = define(
  'Range',
  (node, inputs, constants) => {
    const [start, limit, delta] = [0, 1, 2].map((i) => {
      sameType(node, operand(node, inputs, 0, 'number'), operand(node, inputs, i), i);
      const known = constants[i];
      if (known?.data.length === 1) return known.data[0]!;
      throw new ShapeError(
        node,
        'its start, limit and delta must be scalars known from constants and shapes',
      );
    });
    if (delta === 0) throw new ShapeError(node, 'its delta is 0');
    const length = Math.max(0, Math.ceil((limit! - start!) / delta!));
    return [{ dtype: operand(node, inputs, 0).dtype, shape: checkedShape(node, [length]) }];
  },
  (node, inputs, [type]) => {
    const [start, , delta] = [0, 1, 2].map((i) => operand(node, inputs, i).data[0]!);
    return [
      valueOf(
        type!,
        valueOf(type!).data.map((_, i) => start! + i * delta!),
      ),
    ];
  },
);

/** EyeLike: ones on diagonal `k` of a matrix of the input's shape; of its element type unless `dtype` names one. */
const eyeLike = define(
  'EyeLike',
  (node, inputs) => {
    const like = operand(node, inputs, 0);
    ranked(node, like, 2, 'its input');
    const code = node.attributes['dtype'];
    const dtype = code?.kind === 'int' ? elementType(code.value) : like.dtype;
    if (dtype === undefined || dtype === 'string') {
      throw new ShapeError(node, 'its attribute "dtype" must name a float, integer or bool type');
    }
    return [{ dtype, shape: like.shape }];
  },
  (node, _, [type]) => {
    const columns = type!.shape[1]!;
    const diagonal = intAttribute(node, 'k', 0);
    const result = valueOf(type!);
    return [
      valueOf(
        type!,
        result.data.map((_, i) => ((i % columns) - Math.floor(i / columns) === diagonal ? 1 : 0)),
      ),
    ];
  },
);

/** NonZero: one column of coordinates for every element that is not zero. How many there are must be known. */
const nonZero = define(
  'NonZero',
  (node, inputs, constants) => {
    const { shape } = operand(node, inputs, 0);
    const known = constants[0];
    if (known) return [{ dtype: 'int64', shape: [shape.length, known.data.filter((x) => x !== 0).length] }];
    throw new ShapeError(
      node,
      `its input "${node.inputs[0] ?? ''}" depends on data, and the shape of its output on that; a value that follows from constants and the shapes of the inputs would be accepted (a mask and Where, or a product, do without NonZero)`,
    );
  },
  (node, inputs, [type]) => {
    const { shape, data } = operand(node, inputs, 0);
    const strides = stridesOf(shape);
    const found = Array.from(data.keys()).filter((i) => data[i] !== 0);
    const rows = shape.flatMap((dim, axis) => found.map((i) => Math.floor(i / strides[axis]!) % dim));
    return [valueOf(type!, Float64Array.from(rows))];
  },
);

export const creationOperators: readonly OperatorDefinition[] = [
  shape,
  size,
  constant,
  constantOfShape,
  range,
  eyeLike,
  nonZero,
];
