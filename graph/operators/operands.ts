import { ShapeError } from '../errors.js';
import type { Node } from '../ir/graph.js';
import { formatType, isFloat, sizeOf, type DataType, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition, Reference } from './definition.js';

type Infer = OperatorDefinition['infer'];
type Evaluate = OperatorDefinition['evaluate'];

/** One table entry; the domain '' is ai.onnx. */
export function define(operator: string, infer: Infer, evaluate: Evaluate, domain = ''): OperatorDefinition {
  return { operator, domain, infer, evaluate };
}

/** Which element types an operand may have. */
export type Kind = 'any' | 'number' | 'float' | 'integer' | 'bool';

export function isInteger(dtype: DataType): boolean {
  return !isFloat(dtype) && dtype !== 'bool' && dtype !== 'string';
}

function fits(dtype: DataType, kind: Kind): boolean {
  switch (kind) {
    case 'any':
      return true;
    case 'number':
      return dtype !== 'bool' && dtype !== 'string';
    case 'float':
      return isFloat(dtype);
    case 'integer':
      return isInteger(dtype);
    case 'bool':
      return dtype === 'bool';
  }
}

/**
 * Operand `index` of a node, which the operator requires.
 * @throws ShapeError when it is missing or of another kind
 */
export function operand<T extends TensorType>(
  node: Node,
  operands: readonly (T | undefined)[],
  index: number,
  kind: Kind = 'any',
): T {
  const found = operands[index];
  if (!found) throw new ShapeError(node, `input ${index} is missing; ${node.operator} requires it`);
  if (!fits(found.dtype, kind)) {
    const wanted = kind === 'bool' ? 'bool' : kind === 'number' ? 'a numeric type' : `a type of ${kind}s`;
    throw new ShapeError(node, `input ${index} is ${formatType(found)}; it must have ${wanted}`);
  }
  return found;
}

/** @throws ShapeError unless operand `index` has the element type of `like` */
export function sameType(node: Node, like: TensorType, other: TensorType, index: number): void {
  if (like.dtype === other.dtype) return;
  throw new ShapeError(
    node,
    `input ${index} is ${formatType(other)} and input 0 is ${formatType(like)}; both need one element type`,
  );
}

/** @throws ShapeError unless the operand has this many dimensions */
export function ranked(node: Node, type: TensorType, rank: number, what: string): void {
  if (type.shape.length === rank) return;
  throw new ShapeError(node, `${what} is ${formatType(type)}; it must have ${rank} dimensions`);
}

/**
 * The value of an integer operand that the type depends on: axes, a shape, pads.
 * @returns undefined where the operand is omitted
 * @throws ShapeError where it is only known at run time
 */
export function knownInts(
  node: Node,
  inputs: readonly (TensorType | undefined)[],
  constants: readonly (Reference | undefined)[],
  index: number,
  what: string,
): number[] | undefined {
  const type = inputs[index];
  if (!type) return undefined;
  const value = constants[index];
  if (!value) {
    throw new ShapeError(
      node,
      `its ${what} (input ${index}, "${node.inputs[index] ?? ''}") depends on data; dtrain needs shapes that follow from constants and the shapes of the inputs`,
    );
  }
  return Array.from(value.data);
}

/** `knownInts` of an operand that the operator requires. */
export function requiredInts(
  node: Node,
  inputs: readonly (TensorType | undefined)[],
  constants: readonly (Reference | undefined)[],
  index: number,
  what: string,
): number[] {
  operand(node, inputs, index, 'integer');
  return knownInts(node, inputs, constants, index, what) ?? [];
}

/**
 * `axis` counted from the front.
 * @throws ShapeError outside [-rank, rank)
 */
export function axisIn(node: Node, axis: number, rank: number): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank) {
    throw new ShapeError(node, `axis ${axis} is outside the ${rank} dimensions of its input`);
  }
  return axis < 0 ? axis + rank : axis;
}

/** Several axes counted from the front, each once. */
export function axesIn(node: Node, axes: readonly number[], rank: number): number[] {
  const normal = axes.map((axis) => axisIn(node, axis, rank));
  if (new Set(normal).size !== normal.length) {
    throw new ShapeError(node, `an axis is named twice in [${axes.join(', ')}]`);
  }
  return normal;
}

/**
 * A shape that an operator makes, checked.
 * @throws ShapeError for a negative dimension or more than 2^53 elements
 */
export function checkedShape(node: Node, shape: readonly number[]): readonly number[] {
  if (shape.every((dim) => Number.isSafeInteger(dim) && dim >= 0) && Number.isSafeInteger(sizeOf(shape))) {
    return shape;
  }
  throw new ShapeError(node, `its output would have the shape [${shape.join(', ')}]`);
}

/** A value of the given type; `data` when it is there already, zeros otherwise. */
export function valueOf(type: TensorType, data?: Float64Array): Reference {
  return { dtype: type.dtype, shape: type.shape, data: data ?? new Float64Array(sizeOf(type.shape)) };
}
