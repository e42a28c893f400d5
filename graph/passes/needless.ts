import { intAttribute, intsAttribute, type Node } from '../ir/graph.js';
import { stopsGradient } from '../ir/stop-gradient.js';
import { sameShape } from '../ir/tensor.js';
import type { RewriteRule, Site } from './rewrite.js';

/** Operators that only give the same elements another shape. */
const RESHAPES: ReadonlySet<string> = new Set(['Reshape', 'Flatten', 'Squeeze', 'Unsqueeze']);

/** Operators that do nothing where the result has the input's type. */
const NO_OPS: ReadonlySet<string> = new Set([
  'Identity',
  'Cast',
  'Expand',
  'Tile',
  'Concat',
  'Sum',
  'Max',
  'Min',
  'Mean',
]);

/** Nodes that pass their input on unchanged. */
export const dropNoOps: RewriteRule = ({ node, type, f }) => {
  if (!NO_OPS.has(node.operator) || node.domain !== '') return undefined;
  // it does something when the graph is differentiated
  if (stopsGradient(node)) return undefined;
  const [x] = node.inputs;
  if (x === undefined || (node.inputs.length > 1 && !['Expand', 'Tile'].includes(node.operator)))
    return undefined;
  const from = f.typeOf(x);
  return from.dtype === type.dtype && sameShape(from.shape, type.shape) ? [x] : undefined;
};

/** Every reshaping operator becomes one Reshape from the value where a chain of them began, or nothing. */
export const joinReshapes: RewriteRule = ({ node, type, f, producer }) => {
  if (!RESHAPES.has(node.operator) || node.domain !== '') return undefined;
  let root = node.inputs[0]!;
  for (;;) {
    const before = producer(root);
    if (!before || !RESHAPES.has(before.operator) || before.domain !== '') break;
    root = before.inputs[0]!;
  }
  if (sameShape(f.shapeOf(root), type.shape)) return [root];
  // left as it is where it already is what would be written
  if (node.operator === 'Reshape' && root === node.inputs[0]) return undefined;
  return [f.reshape(root, type.shape)];
};

/** A Transpose of a Transpose is one; one that moves only axes of length 1 is a Reshape. */
export const joinTransposes: RewriteRule = ({ node, type, f, producer }) => {
  if (node.operator !== 'Transpose' || node.domain !== '') return undefined;
  let root = node.inputs[0]!;
  let permutation = permutationOf(node, type.shape.length);
  const before = producer(root);
  if (before?.operator === 'Transpose' && before.domain === '') {
    const inner = permutationOf(before, permutation.length);
    permutation = permutation.map((axis) => inner[axis]!);
    root = before.inputs[0]!;
  }
  const shape = f.shapeOf(root);
  const moved = permutation.filter((axis) => shape[axis] !== 1);
  if (moved.every((axis, i) => i === 0 || axis > moved[i - 1]!)) return [f.reshape(root, type.shape)];
  return root === node.inputs[0] ? undefined : [f.transpose(root, permutation)];
};

/** Adding or subtracting 0, multiplying or dividing by 1. */
export const dropNeutralOperands: RewriteRule = ({ node, type, f }) => {
  if (node.domain !== '' || !['Add', 'Sub', 'Mul', 'Div'].includes(node.operator)) return undefined;
  const neutral = node.operator === 'Add' || node.operator === 'Sub' ? 0 : 1;
  const commutes = node.operator === 'Add' || node.operator === 'Mul';
  const [a, b] = node.inputs as [string, string];
  const isWhole = (value: string) => sameShape(f.shapeOf(value), type.shape);
  if (f.numberOf(b) === neutral && isWhole(a)) return [a];
  if (commutes && f.numberOf(a) === neutral && isWhole(b)) return [b];
  return undefined;
};

export function permutationOf(node: Node, rank: number): readonly number[] {
  return intsAttribute(node, 'perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
}

/** Whether a value is the transpose of a matrix; the matrix if so. */
export function transposedMatrix(site: Pick<Site, 'f' | 'producer'>, value: string): string | undefined {
  const node = site.producer(value);
  if (node?.operator !== 'Transpose' || node.domain !== '' || site.f.rankOf(value) !== 2) return undefined;
  return permutationOf(node, 2)[0] === 1 ? node.inputs[0] : undefined;
}

/** Whether a node is a plain ai.onnx operator of that name. */
export function isOperator(node: Node | undefined, operator: string): node is Node {
  return node?.operator === operator && node.domain === '';
}

export function hasFlag(node: Node, attribute: string): boolean {
  return intAttribute(node, attribute, 0) !== 0;
}
