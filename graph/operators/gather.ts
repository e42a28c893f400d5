import { ShapeError } from '../errors.js';
import { intAttribute, type Node } from '../ir/graph.js';
import { formatType, sizeOf, stridesOf, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition } from './definition.js';
import { axisIn, define, operand, valueOf } from './operands.js';
import { offsetsOf } from './walk.js';

/**
 * An index into a length, negative from the end.
 * @throws ShapeError outside [-length, length)
 */
export function indexIn(node: Node, index: number, length: number): number {
  if (index < -length || index >= length) {
    throw new ShapeError(node, `index ${index} is outside a dimension of ${length}`);
  }
  return index < 0 ? index + length : index;
}

/** Gather: whole slices of `axis`, one for every index. */
const gather = define(
  'Gather',
  (node, inputs, constants) => {
    const { dtype, shape } = operand(node, inputs, 0);
    const indices = operand(node, inputs, 1, 'integer');
    const axis = axisIn(node, intAttribute(node, 'axis', 0), shape.length);
    constants[1]?.data.forEach((index) => indexIn(node, index, shape[axis]!));
    return [{ dtype, shape: [...shape.slice(0, axis), ...indices.shape, ...shape.slice(axis + 1)] }];
  },
  (node, inputs, [type]) => {
    const { shape, data } = operand(node, inputs, 0);
    const indices = operand(node, inputs, 1).data;
    const axis = axisIn(node, intAttribute(node, 'axis', 0), shape.length);
    const block = sizeOf(shape.slice(axis + 1));
    const length = shape[axis]!;
    const result = valueOf(type!);
    for (let outer = 0; outer < sizeOf(shape.slice(0, axis)); outer++) {
      indices.forEach((index, k) => {
        const from = (outer * length + indexIn(node, index, length)) * block;
        result.data.set(data.subarray(from, from + block), (outer * indices.length + k) * block);
      });
    }
    return [result];
  },
);

/** In GatherElements and ScatterElements: where each element of `indices` points in `data`. */
export function elementOffsets(
  node: Node,
  data: TensorType,
  indices: TensorType & { readonly data: Float64Array },
): Int32Array {
  const axis = axisIn(node, intAttribute(node, 'axis', 0), data.shape.length);
  const strides = stridesOf(data.shape);
  const others = strides.map((stride, at) => (at === axis ? 0 : stride));
  const offsets = offsetsOf(indices.shape, others);
  return offsets.map(
    (offset, i) => offset + indexIn(node, indices.data[i]!, data.shape[axis]!) * strides[axis]!,
  );
}

/** @throws ShapeError unless the indices have data's rank and stay within it on every axis but one */
export function checkElementIndices(node: Node, data: TensorType, indices: TensorType): void {
  const axis = axisIn(node, intAttribute(node, 'axis', 0), data.shape.length);
  const fits =
    indices.shape.length === data.shape.length &&
    indices.shape.every((dim, at) => at === axis || dim <= data.shape[at]!);
  if (fits) return;
  throw new ShapeError(
    node,
    `indices are ${formatType(indices)}, which do not fit data of ${formatType(data)}`,
  );
}

const gatherElements = define(
  'GatherElements',
  (node, inputs) => {
    const data = operand(node, inputs, 0);
    const indices = operand(node, inputs, 1, 'integer');
    checkElementIndices(node, data, indices);
    return [{ dtype: data.dtype, shape: indices.shape }];
  },
  (node, inputs, [type]) => {
    const data = operand(node, inputs, 0);
    const offsets = elementOffsets(node, data, operand(node, inputs, 1));
    return [
      valueOf(
        type!,
        Float64Array.from(offsets, (offset) => data.data[offset]!),
      ),
    ];
  },
);

/** In GatherND and ScatterND: the coordinates that one index tuple names, and the block that it stands for. */
export interface Tuples {
  readonly offsets: Float64Array;
  readonly block: number;
}

/** Where every tuple of `indices` (its last axis) points in `data`, after `batch` leading axes in common. */
export function tupleOffsets(
  node: Node,
  data: TensorType,
  indices: TensorType & { readonly data: Float64Array },
  batch: number,
): Tuples {
  const depth = indices.shape.at(-1)!;
  const strides = stridesOf(data.shape);
  const tuples = indices.data.length / Math.max(depth, 1);
  const perBatch = tuples / Math.max(1, sizeOf(data.shape.slice(0, batch)));
  const batchBlock = sizeOf(data.shape.slice(batch));
  const offsets = Float64Array.from({ length: tuples }, (_, t) => {
    let offset = Math.floor(t / perBatch) * batchBlock;
    for (let k = 0; k < depth; k++) {
      offset += indexIn(node, indices.data[t * depth + k]!, data.shape[batch + k]!) * strides[batch + k]!;
    }
    return offset;
  });
  return { offsets, block: sizeOf(data.shape.slice(batch + depth)) };
}

/** How many axes an index tuple names. @throws ShapeError unless data has them after its batch axes */
export function tupleDepth(node: Node, data: TensorType, indices: TensorType, batch: number): number {
  const depth = indices.shape.at(-1);
  const shared = indices.shape.slice(0, batch).every((dim, axis) => dim === data.shape[axis]);
  if (
    depth !== undefined &&
    depth >= 1 &&
    shared &&
    batch < indices.shape.length &&
    batch + depth <= data.shape.length
  ) {
    return depth;
  }
  throw new ShapeError(
    node,
    `indices are ${formatType(indices)}, which do not fit data of ${formatType(data)}`,
  );
}

const gatherND = define(
  'GatherND',
  (node, inputs) => {
    const data = operand(node, inputs, 0);
    const indices = operand(node, inputs, 1, 'integer');
    const batch = intAttribute(node, 'batch_dims', 0);
    const depth = tupleDepth(node, data, indices, batch);
    return [
      { dtype: data.dtype, shape: [...indices.shape.slice(0, -1), ...data.shape.slice(batch + depth)] },
    ];
  },
  (node, inputs, [type]) => {
    const data = operand(node, inputs, 0);
    const { offsets, block } = tupleOffsets(
      node,
      data,
      operand(node, inputs, 1),
      intAttribute(node, 'batch_dims', 0),
    );
    const result = valueOf(type!);
    offsets.forEach((from, t) => result.data.set(data.data.subarray(from, from + block), t * block));
    return [result];
  },
);

export const gatherOperators: readonly OperatorDefinition[] = [gather, gatherElements, gatherND];
