import { ShapeError } from '../errors.js';
import type { Attributes, Node } from '../ir/graph.js';
import { sizeOf, type TensorType } from '../ir/tensor.js';
import { operandsOf, titleOf, type CustomNode, type CustomOperator } from './definition.js';
import type { OperatorKernel } from './kernel.js';

/** The attribute that holds it. ONNX has no such kind: files have the definitions in their metadata. */
const ATTRIBUTE = 'dtrain:operator';

/** What a node of a user's operator computes; undefined for any other. */
export function customOf(node: Pick<Node, 'attributes'>): CustomNode | undefined {
  const found = node.attributes[ATTRIBUTE];
  return found?.kind === 'custom' ? found.value : undefined;
}

/** Attributes of a node that computes `custom`. */
export function withCustom(attributes: Attributes, custom: CustomNode): Attributes {
  return { ...attributes, [ATTRIBUTE]: { kind: 'custom', value: custom } };
}

/** The attributes that the operator's user has given. */
export function givenAttributes(attributes: Attributes): Attributes {
  return Object.fromEntries(Object.entries(attributes).filter(([, { kind }]) => kind !== 'custom'));
}

/** The operator's name of the node that computes the gradient of `input`. No operator can be called so. */
export function gradientName({ name }: CustomOperator, input: string): string {
  return `${name}.grad.${input}`;
}

/** A node's kernel, and what its parameters and constants are. */
export interface Launch {
  /** For messages: `my.ops.Snake`. */
  readonly title: string;
  readonly kernel: OperatorKernel;
  /** Names of the operands, one for each input of the node. */
  readonly operands: readonly string[];
}

export function launchOf({ operator, part }: CustomNode): Launch {
  const title = titleOf(operator);
  if (part === 'forward')
    return { title, kernel: operator.forward, operands: operandsOf(operator, 'forward') };
  const gradient = operator.gradients[operator.inputs.indexOf(part)]!;
  if (gradient.kind === 'none') throw new ShapeError({ name: title, operator: part }, 'has no gradient');
  return { title, kernel: gradient.kernel, operands: operandsOf(operator, 'gradient') };
}

/** Operands that the kernel looks at: elements or extents. */
export function usedOperands({ kernel, operands }: Launch, reads: ReadonlySet<number>): readonly boolean[] {
  return operands.map(
    (operand, i) =>
      reads.has(i) ||
      kernel.constants.some(({ name }) => name.startsWith(`${operand}_`) && /_(size|\d+)$/.test(name)),
  );
}

/**
 * The values of `this.constants` at a node.
 * @param types of the node's inputs, and of its output y where the kernel is the forward one
 * @throws ShapeError for an attribute that the operator has not, or that is no number; for an axis that an operand has not
 */
export function constantsOf(
  node: Node,
  custom: CustomNode,
  types: readonly (TensorType | undefined)[],
  y?: TensorType,
): Readonly<Record<string, number>> {
  const { kernel, operands } = launchOf(custom);
  const constants: Record<string, number> = { ...custom.operator.attributes };
  for (const [name, value] of Object.entries(node.attributes)) {
    if (value.kind === 'custom') continue;
    if (!Object.hasOwn(constants, name)) {
      const known = Object.keys(constants).join(', ');
      throw new ShapeError(
        node,
        `has no attribute "${name}"; ${known === '' ? 'none' : known} would be accepted`,
      );
    }
    if (value.kind !== 'float' && value.kind !== 'int')
      throw new ShapeError(
        node,
        `its attribute "${name}" is of kind ${value.kind}; a number would be accepted`,
      );
    constants[name] = value.value;
  }
  const extents = (operand: string, { shape }: TensorType) => {
    constants[`${operand}_size`] = sizeOf(shape);
    shape.forEach((length, axis) => (constants[`${operand}_${axis}`] = length));
  };
  operands.forEach((operand, i) => types[i] && extents(operand, types[i]));
  if (y) extents('y', y);
  for (const { name, line } of kernel.constants) {
    if (Object.hasOwn(constants, name)) continue;
    throw new ShapeError(
      node,
      `${kernel.title}, line ${line}: reads this.constants.${name}, an axis that its operand of ` +
        `[${types[operands.findIndex((each) => name.startsWith(`${each}_`))]?.shape.join(', ') ?? ''}] has not`,
    );
  }
  return constants;
}
