import type { Expression, Node, PrivateIdentifier, SpreadElement, Super } from 'acorn';
import {
  MATH,
  type Arithmetic,
  type BooleanExpression,
  type Comparison,
  type Equality,
  type MathName,
  type NumberExpression,
} from './kernel.js';
import { positionOf, type Names } from './names.js';

const ARITHMETIC: ReadonlySet<string> = new Set<Arithmetic>(['+', '-', '*', '/', '%']);
const COMPARISONS: ReadonlySet<string> = new Set<Comparison>(['<', '<=', '>', '>=']);
const EQUALITIES: Readonly<Record<string, Equality>> = {
  '===': '===',
  '!==': '!==',
  '==': '===',
  '!=': '!==',
};

type Part = Expression | SpreadElement | PrivateIdentifier | Super;

/**
 * A number, in the language of kernels: whatever is not listed here is refused.
 * @throws KernelError
 */
export function numberOf(names: Names, node: Part): NumberExpression {
  return names.nested(node, () => readNumber(names, node));
}

function readNumber(names: Names, node: Part): NumberExpression {
  switch (node.type) {
    case 'Literal':
      if (typeof node.value === 'number' && Number.isFinite(node.value))
        return { kind: 'number', value: node.value };
      return names.fail(node, `${node.raw ?? 'this'} is no number; finite numbers would be accepted`);
    case 'Identifier':
      return variable(names, node, node.name);
    case 'MemberExpression':
      return member(names, node);
    case 'UnaryExpression':
      if (node.operator === '-') return { kind: 'negate', of: numberOf(names, node.argument) };
      if (node.operator === '+') return numberOf(names, node.argument);
      return names.fail(node, `"${node.operator}" gives no number here; - and + would be accepted`);
    case 'BinaryExpression':
      return binary(names, node, node.operator, node.left, node.right);
    case 'ConditionalExpression':
      return {
        kind: 'choose',
        test: booleanOf(names, node.test),
        then: numberOf(names, node.consequent),
        otherwise: numberOf(names, node.alternate),
      };
    case 'CallExpression':
      if (node.optional) return names.fail(node, 'a call is plain: without ?.');
      return call(names, node, node.callee, node.arguments);
    case 'ParenthesizedExpression':
      return numberOf(names, node.expression);
    default:
      return names.fail(node, `${wordFor(node)} is not in the language of kernels; ${ACCEPTED}`);
  }
}

const ACCEPTED =
  'numbers, locals, arithmetic, comparisons, ?:, Math, this.thread.x, this.constants and elements of the arrays would be accepted';

function variable(names: Names, node: Node, name: string): NumberExpression {
  const named = names.find(name);
  if (named?.kind === 'local') return { kind: 'local', slot: named.slot };
  if (named)
    return names.fail(node, `"${name}" is an array; one of its elements, ${name}[...], would be accepted`);
  return names.fail(
    node,
    `"${name}" is nothing that a kernel knows; its arrays, its locals and Math would be accepted`,
  );
}

function binary(names: Names, node: Node, operator: string, left: Part, right: Part): NumberExpression {
  const operands = (): readonly [NumberExpression, NumberExpression] => [
    numberOf(names, left),
    numberOf(names, right),
  ];
  if (operator === '**') return { kind: 'math', name: 'pow', operands: operands() };
  if (!ARITHMETIC.has(operator))
    return names.fail(
      node,
      `"${operator}" gives no number; +, -, *, /, % and ** would be accepted (and comparisons in conditions)`,
    );
  const [a, b] = operands();
  return { kind: 'arithmetic', operator: operator as Arithmetic, left: a, right: b };
}

/** `this.thread.x`, `this.constants.NAME`, `array[index]`, `Math.PI`. */
function member(names: Names, node: Expression & { readonly type: 'MemberExpression' }): NumberExpression {
  const { object } = node;
  if (node.optional) return names.fail(node, '?. is not in the language of kernels; . would be accepted');
  if (object.type === 'Identifier') {
    const named = names.find(object.name);
    if (object.name === 'Math' && !node.computed && nameIn(node.property) === 'PI')
      return { kind: 'number', value: Math.PI };
    if (object.name === 'Math')
      return names.fail(node, `Math.PI, and calls of ${Object.keys(MATH).join(', ')} would be accepted`);
    if (named?.kind !== 'array') {
      return names.fail(
        object,
        named
          ? `"${object.name}" is a number, not an array`
          : `"${object.name}" is nothing that a kernel knows; its arrays are ${names.text.title === 'forward' ? 'the inputs' : 'dy, the inputs and y'}, as its parameters`,
      );
    }
    if (!node.computed)
      return names.fail(node, `an array has elements only: ${object.name}[...] would be accepted`);
    const { parameter } = named;
    return { kind: 'read', parameter, index: numberOf(names, node.property), at: positionOf(node) };
  }
  if (object.type === 'MemberExpression' && object.object.type === 'ThisExpression' && !object.computed) {
    const [what, name] = [nameIn(object.property), constantName(node)];
    if (what === 'thread' && name === 'x') return { kind: 'thread' };
    if (what === 'thread')
      return names.fail(
        node,
        'a kernel runs over the cells of its output in one row: this.thread.x would be accepted',
      );
    if (what === 'constants' && name !== undefined) {
      names.constant(node, name);
      return { kind: 'constant', name };
    }
  }
  return names.fail(
    node,
    'this is no element of an array; array[index], this.thread.x and this.constants.NAME would be accepted',
  );
}

/** The name in `a.name` and in `a['name']`. */
function constantName(node: Expression & { readonly type: 'MemberExpression' }): string | undefined {
  if (!node.computed) return nameIn(node.property);
  return node.property.type === 'Literal' && typeof node.property.value === 'string'
    ? node.property.value
    : undefined;
}

function nameIn(node: Part): string | undefined {
  return node.type === 'Identifier' ? node.name : undefined;
}

function call(names: Names, node: Node, callee: Part, given: readonly Part[]): NumberExpression {
  const isMath =
    callee.type === 'MemberExpression' &&
    !callee.computed &&
    !callee.optional &&
    nameIn(callee.object) === 'Math' &&
    callee.property.type === 'Identifier';
  const name = isMath ? nameIn(callee.property) : undefined;
  if (name === undefined || !Object.hasOwn(MATH, name)) {
    return names.fail(
      node,
      `a kernel calls nothing but functions of Math: ${Object.keys(MATH).join(', ')} would be accepted`,
    );
  }
  const math = name as MathName;
  if (given.length !== MATH[math])
    return names.fail(node, `Math.${math} takes ${MATH[math]} operands here, not ${given.length}`);
  return { kind: 'math', name: math, operands: given.map((each) => numberOf(names, each)) };
}

/**
 * A condition: comparisons of numbers, joined. A number is none.
 * @throws KernelError
 */
export function booleanOf(names: Names, node: Part): BooleanExpression {
  return names.nested(node, () => readBoolean(names, node));
}

function readBoolean(names: Names, node: Part): BooleanExpression {
  if (node.type === 'ParenthesizedExpression') return booleanOf(names, node.expression);
  if (node.type === 'UnaryExpression' && node.operator === '!')
    return { kind: 'not', of: booleanOf(names, node.argument) };
  if (node.type === 'LogicalExpression' && node.operator !== '??') {
    return {
      kind: 'logic',
      operator: node.operator,
      left: booleanOf(names, node.left),
      right: booleanOf(names, node.right),
    };
  }
  if (node.type === 'BinaryExpression') {
    const operator = COMPARISONS.has(node.operator)
      ? (node.operator as Comparison)
      : EQUALITIES[node.operator];
    if (operator !== undefined)
      return {
        kind: 'compare',
        operator,
        left: numberOf(names, node.left),
        right: numberOf(names, node.right),
      };
  }
  return names.fail(
    node,
    'this is no condition; comparisons of numbers, joined by &&, || and !, would be accepted',
  );
}

/** What a node is called in messages: `TemplateLiteral` is a "template literal". */
export function wordFor({ type }: Node): string {
  return `a ${type.replace(/([a-z])([A-Z])/g, '$1 $2').toLowerCase()}`;
}
