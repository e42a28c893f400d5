import {
  constantsOf,
  customOf,
  excerpt,
  launchOf,
  sizeOf,
  type Node,
  type NumberExpression,
  type OperatorKernel,
  type Statement,
  type TensorType,
} from '../../../../graph/index.js';
import { UnsupportedFormError } from '../errors.js';
import type { KernelRule } from '../kernel.js';
import { printKernel, type PrintedKernel } from './custom-source.js';

/** Users' operators are computed with floats all through, also where elements are: those that have whole numbers. */
const MOST_ELEMENTS = 2 ** 24;

/** A node of a user's operator: one launch of its kernel, a thread for each cell. */
export const customKernel: KernelRule = (node, context) => {
  const typeOf = (value: string) => context.typeOf(value);
  const types = node.inputs.map((name) => (name === '' ? undefined : typeOf(name)));
  const output = node.outputs[0]!;
  const size = sizeOf(typeOf(output).shape);
  const large = [output, ...node.inputs].find(
    (name) => name !== '' && sizeOf(typeOf(name).shape) > MOST_ELEMENTS,
  );
  if (large !== undefined)
    throw new UnsupportedFormError(
      `"${large}" has more than 2^24 elements, which an own operator cannot tell apart`,
    );
  const { source, reads } = printed(node, types, typeOf(output));
  return [{ source, inputs: reads.map((i) => node.inputs[i]!), output, extents: [size], constants: {} }];
};

/**
 * What gpu.js says of a kernel that does not compile, with the user's own line where it names one.
 * @returns undefined for a node that is no user's operator
 */
export function inUsersTerms(
  node: Node,
  message: string,
  typeOf: (value: string) => TensorType,
): string | undefined {
  const custom = customOf(node);
  if (!custom) return undefined;
  const { title, kernel } = launchOf(custom);
  const types = node.inputs.map((name) => (name === '' ? undefined : typeOf(name)));
  const { lines } = printed(node, types, typeOf(node.outputs[0]!));
  const told = /on line (\d+)/.exec(message)?.[1];
  const line = told === undefined ? undefined : lines[Number(told) - 1];
  const where = line === undefined ? '' : `, line ${line}`;
  const shown = excerpt(kernel.source, { line: line ?? 1, column: 1 });
  return `operator ${title}: ${kernel.title}${where}: ${message}\n${shown}`;
}

function printed(
  node: Node,
  types: Parameters<typeof constantsOf>[2],
  y: Parameters<typeof constantsOf>[3],
): PrintedKernel {
  const custom = customOf(node)!;
  const { kernel } = launchOf(custom);
  const constants = constantsOf(node, custom, types, custom.part === 'forward' ? y : undefined);
  const endless = kernel.constants.find(({ name }) => !Number.isFinite(constants[name]));
  if (endless) throw new UnsupportedFormError(`its attribute "${endless.name}" is no finite number`);
  for (const loop of loopsIn(kernel.body)) refuseStanding(kernel, loop, constants);
  return printKernel(kernel, constants);
}

type Loop = Statement & { readonly kind: 'for' };

function* loopsIn(statements: readonly Statement[]): Generator<Loop> {
  for (const each of statements) {
    if (each.kind === 'if') yield* loopsIn([...each.then, ...each.otherwise]);
    if (each.kind !== 'for') continue;
    yield each;
    yield* loopsIn(each.body);
  }
}

/** @throws UnsupportedFormError for a loop whose counter, a float32 here, would stand still before its bound */
function refuseStanding(
  { title }: OperatorKernel,
  { from, to, step, at }: Loop,
  constants: Readonly<Record<string, number>>,
): void {
  const [first, last, by] = [from, to, step].map((each) => numberIn(each, constants));
  const turns = Math.max(Math.abs(first!), Math.abs(last!)) / by!;
  if (!(turns > MOST_ELEMENTS)) return;
  throw new UnsupportedFormError(
    `${title}, line ${at.line}: its loop counts from ${first} to ${last} by ${by}; up to 2^24 steps from 0 would be accepted`,
  );
}

/** The value of an expression of numbers and constants alone; NaN for any other. */
function numberIn(of: NumberExpression, constants: Readonly<Record<string, number>>): number {
  if (of.kind === 'number') return of.value;
  if (of.kind === 'constant') return constants[of.name] ?? NaN;
  if (of.kind === 'negate') return -numberIn(of.of, constants);
  if (of.kind !== 'arithmetic') return NaN;
  const [left, right] = [numberIn(of.left, constants), numberIn(of.right, constants)];
  const values = {
    '+': left + right,
    '-': left - right,
    '*': left * right,
    '/': left / right,
    '%': left % right,
  };
  return values[of.operator];
}
