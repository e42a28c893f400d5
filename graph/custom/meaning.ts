import { ShapeError } from '../errors.js';
import type { Node } from '../ir/graph.js';
import { formatType, sizeOf, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition, Reference } from '../operators/definition.js';
import type { CustomNode } from './definition.js';
import { runKernel } from './interpret.js';
import { expressionsOf, type OperatorKernel } from './kernel.js';
import { constantsOf, customOf, launchOf, usedOperands } from './node.js';
import { shapeBy } from './shape-rule.js';

/** The type rule and the meaning of a node of a user's operator; undefined for any other node. */
export function meaningOf(
  node: Pick<Node, 'operator' | 'domain' | 'attributes'>,
): OperatorDefinition | undefined {
  const custom = customOf(node);
  if (!custom) return undefined;
  return {
    operator: node.operator,
    domain: node.domain,
    infer: (at, inputs) => [typeOf(at, custom, inputs)],
    evaluate: (at, inputs, [type]) => [evaluate(at, custom, inputs, type!)],
  };
}

/** Parameters of a kernel of which it reads elements. */
export function readsOf(kernel: OperatorKernel): ReadonlySet<number> {
  return new Set(
    [...expressionsOf(kernel.body)].flatMap((each) => (each.kind === 'read' ? [each.parameter] : [])),
  );
}

/** Parameters of which each cell reads nothing but the element at its own place. */
export function ownCellOnly(kernel: OperatorKernel, parameter: number): boolean {
  return [...expressionsOf(kernel.body)].every(
    (each) => each.kind !== 'read' || each.parameter !== parameter || each.index.kind === 'thread',
  );
}

function typeOf(node: Node, custom: CustomNode, inputs: readonly (TensorType | undefined)[]): TensorType {
  const { part } = custom;
  const launch = launchOf(custom);
  const used =
    part === 'forward' ? launch.operands.map(() => true) : usedOperands(launch, readsOf(launch.kernel));
  if (inputs.length > launch.operands.length) {
    throw new ShapeError(
      node,
      `has ${inputs.length} inputs; ${launch.operands.length} would be accepted: ${launch.operands.join(', ')}`,
    );
  }
  launch.operands.forEach((operand, i) => {
    const type = inputs[i];
    if (!type && used[i]) throw new ShapeError(node, `lacks its input ${i}, ${operand}`);
    if (type && type.dtype !== 'float32')
      throw new ShapeError(
        node,
        `its input ${i}, ${operand}, is ${formatType(type)}; float32 would be accepted`,
      );
  });
  const y = part === 'forward' ? outputOf(node, custom, inputs) : undefined;
  const type = y ?? gradientType(node, custom, inputs);
  constantsOf(node, custom, inputs, y);
  return { dtype: 'float32', shape: type.shape };
}

function outputOf(
  node: Node,
  { operator }: CustomNode,
  inputs: readonly (TensorType | undefined)[],
): TensorType {
  const shape = shapeBy<number>(
    operator.output,
    (input) => inputs[operator.inputs.indexOf(input)]!.shape,
    (reason) => {
      throw new ShapeError(node, reason);
    },
  );
  return { dtype: 'float32', shape };
}

/** Of the input for a kernel that has a cell for each of its elements, else of dy. */
function gradientType(
  node: Node,
  { operator, part }: CustomNode,
  inputs: readonly (TensorType | undefined)[],
): TensorType {
  const at = operator.inputs.indexOf(part);
  const from = operator.gradients[at]!.kind === 'own' ? at + 1 : 0;
  const type = inputs[from];
  if (!type) throw new ShapeError(node, `lacks its input ${from}`);
  return type;
}

function evaluate(
  node: Node,
  custom: CustomNode,
  inputs: readonly (Reference | undefined)[],
  type: TensorType,
): Reference {
  const { title, kernel } = launchOf(custom);
  const constants = constantsOf(node, custom, inputs, custom.part === 'forward' ? type : undefined);
  const arrays = kernel.parameters.map((_, i) => inputs[i]?.data ?? new Float64Array(0));
  return { ...type, data: runKernel(title, kernel, { arrays, constants, size: sizeOf(type.shape) }) };
}
