import {
  parseExpressionAt,
  type Expression,
  type Node,
  type Pattern,
  type Statement as Written,
} from 'acorn';
import { KernelError, type Position } from './errors.js';
import {
  holds,
  type Arithmetic,
  type Comparison,
  type NumberExpression,
  type OperatorKernel,
  type Statement,
} from './kernel.js';
import { Names, positionOf, type KernelText } from './names.js';
import { booleanOf, numberOf, wordFor } from './parse-expression.js';

/** Characters of one kernel, at most. */
const LONGEST_SOURCE = 65_536;

const MIRRORED: Readonly<Record<string, 'up' | 'down'>> = {
  '<': 'up',
  '<=': 'up',
  '>': 'down',
  '>=': 'down',
};
const UPDATES: Readonly<Record<string, Arithmetic>> = {
  '+=': '+',
  '-=': '-',
  '*=': '*',
  '/=': '/',
  '%=': '%',
};

/**
 * Reads a kernel: a JavaScript function of numbers and arrays of them. The text is parsed, never run; all that is not
 * in the language of kernels is refused: it can read its arrays, and end, and nothing else.
 * @throws KernelError with the line, the column and the line's text
 */
export function parseKernel(text: KernelText): OperatorKernel {
  const names = new Names(text);
  const written = functionIn(text);
  if (written.type !== 'FunctionExpression' || written.async || written.generator || !isBlock(written.body)) {
    throw new KernelError(
      text.operator,
      text.title,
      positionOf(written),
      'a kernel is a plain function: function (x) { ... } would be accepted (an arrow function has no this.thread)',
      text.source,
    );
  }
  const parameters = written.params.map((parameter, i) => {
    const name = identifier(names, parameter);
    names.declare(parameter, name, { kind: 'array', parameter: i });
    return name;
  });
  if (parameters.length > text.arrays) {
    names.fail(
      written.params[text.arrays]!,
      `it takes ${parameters.length} arrays; at most ${text.arrays} would be accepted`,
    );
  }
  const body = names.within(written.body, () => statements(names, written.body.body));
  if (!alwaysReturns(body)) names.fail(written.body, 'it does not return a number on every way through');
  const constants = [...names.read].map(([name, at]) => ({ name, ...at }));
  return { title: text.title, source: text.source, parameters, body, locals: names.locals, constants };
}

function functionIn({ operator, title, source }: KernelText) {
  const refuse = (at: Position, reason: string): never => {
    throw new KernelError(operator, title, at, reason, source);
  };
  if (source.length > LONGEST_SOURCE)
    refuse({ line: 1, column: 1 }, `it has ${source.length} characters; ${LONGEST_SOURCE} would be accepted`);
  try {
    const found = parseExpressionAt(source, 0, { ecmaVersion: 2022, locations: true });
    if (source.slice(found.end).trim() !== '')
      refuse(positionOf(found), 'there is something behind the function; a function alone would be accepted');
    return found;
  } catch (error) {
    if (error instanceof RangeError) return refuse({ line: 1, column: 1 }, 'it is nested too deeply');
    if (!(error instanceof SyntaxError)) throw error;
    const { line, column } = (error as { loc?: Position }).loc ?? { line: 1, column: 0 };
    return refuse({ line, column: column + 1 }, error.message.replace(/ \(\d+:\d+\)$/, ''));
  }
}

function isBlock(body: Node): boolean {
  return body.type === 'BlockStatement';
}

function identifier(names: Names, node: Pattern): string {
  if (node.type === 'Identifier') return node.name;
  return names.fail(
    node,
    `${wordFor(node)} is not in the language of kernels; a plain name would be accepted`,
  );
}

function statements(names: Names, written: readonly Written[]): Statement[] {
  const read: Statement[] = [];
  for (const node of written) {
    const before = read.at(-1);
    if (before && leaves(before) && node.type !== 'EmptyStatement') names.fail(node, 'this is never reached');
    read.push(...statement(names, node));
  }
  return read;
}

/** A branch or a body: with or without braces. */
function block(names: Names, node: Written): Statement[] {
  return names.within(node, () => statements(names, node.type === 'BlockStatement' ? node.body : [node]));
}

function statement(names: Names, node: Written): readonly Statement[] {
  const at = positionOf(node);
  switch (node.type) {
    case 'EmptyStatement':
      return [];
    case 'BlockStatement':
      return block(names, node);
    case 'VariableDeclaration': {
      const { kind } = node;
      if (kind !== 'let' && kind !== 'const')
        return names.fail(node, `${kind} is not in the language of kernels; let and const would be accepted`);
      return node.declarations.map(({ id, init }): Statement => {
        if (!init) return names.fail(id, 'a local has a first value: let sum = 0 would be accepted');
        const value = numberOf(names, init);
        const slot = names.local(id, identifier(names, id), kind, kind === 'const' && isStill(names, value));
        return { kind: 'let', slot, value, at };
      });
    }
    case 'ExpressionStatement':
      return [assignment(names, node.expression, at)];
    case 'IfStatement':
      return [
        {
          kind: 'if',
          test: booleanOf(names, node.test),
          then: block(names, node.consequent),
          otherwise: node.alternate ? block(names, node.alternate) : [],
          at,
        },
      ];
    case 'ForStatement':
      return [names.within(node, () => loop(names, node, at))];
    case 'BreakStatement':
    case 'ContinueStatement':
      if (node.label || names.loops === 0)
        return names.fail(node, 'this belongs into a loop, and has no label');
      return [{ kind: node.type === 'BreakStatement' ? 'break' : 'continue', at }];
    case 'ReturnStatement':
      if (!node.argument) return names.fail(node, 'a kernel returns a number');
      return [{ kind: 'return', value: numberOf(names, node.argument), at }];
    default:
      return names.fail(
        node,
        `${wordFor(node)} is not in the language of kernels; let, const, assignments to locals, if, for and return would be accepted`,
      );
  }
}

/** `sum = ...`, `sum += ...`, `sum++`. */
function assignment(names: Names, written: Expression, at: Position): Statement {
  if (written.type === 'UpdateExpression') {
    const slot = assigned(names, written.argument);
    const operator = written.operator === '++' ? '+' : '-';
    const value = arithmetic(operator, { kind: 'local', slot }, { kind: 'number', value: 1 });
    return { kind: 'assign', slot, value, at };
  }
  if (written.type !== 'AssignmentExpression')
    return names.fail(written, 'this does nothing; assignments to locals would be accepted');
  const { operator, left, right } = written;
  const update = UPDATES[operator];
  if (operator !== '=' && update === undefined)
    return names.fail(
      written,
      `"${operator}" is not in the language of kernels; =, +=, -=, *=, /= and %= would be accepted`,
    );
  const slot = assigned(names, left);
  const value = numberOf(names, right);
  return {
    kind: 'assign',
    slot,
    value: update ? arithmetic(update, { kind: 'local', slot }, value) : value,
    at,
  };
}

function assigned(names: Names, node: Node): number {
  const named =
    node.type === 'Identifier' ? names.find((node as Node & { readonly name: string }).name) : undefined;
  if (named?.kind === 'local' && named.how === 'let') return named.slot;
  return names.fail(
    node,
    named?.kind === 'local'
      ? `a ${named.how} keeps its value here; a local declared with let would be accepted`
      : 'a kernel changes nothing but its own locals; a local declared with let would be accepted',
  );
}

/** `for (let i = FROM; i < TO; i += STEP)`, whose bounds stand still while it runs: so that every kernel ends. */
function loop(names: Names, node: Written & { readonly type: 'ForStatement' }, at: Position): Statement {
  const FORM =
    'for (let i = FROM; i < TO; i++) would be accepted, also with <=, >, >=, i += STEP, i-- and i -= STEP';
  const { init, test, update } = node;
  const [declared] = init?.type === 'VariableDeclaration' && init.kind === 'let' ? init.declarations : [];
  if (!declared?.init || init?.type !== 'VariableDeclaration' || init.declarations.length !== 1)
    return names.fail(init ?? node, `a loop declares its counter; ${FORM}`);
  const from = bound(names, declared.init);
  const counter = identifier(names, declared.id);
  const slot = names.local(declared.id, counter, 'counter', true);
  const isCounter = (each: Node) =>
    each.type === 'Identifier' && (each as Node & { name: string }).name === counter;
  const direction = test?.type === 'BinaryExpression' ? MIRRORED[test.operator] : undefined;
  if (test?.type !== 'BinaryExpression' || direction === undefined || !isCounter(test.left))
    return names.fail(test ?? node, `a loop compares its counter with a bound; ${FORM}`);
  const to = bound(names, test.right);
  if (holds(to, (part) => part.kind === 'local' && part.slot === slot))
    names.fail(test.right, `the bound of a loop does not move with its counter; ${FORM}`);
  let step: NumberExpression = { kind: 'number', value: 1 };
  let down: boolean;
  if (update?.type === 'UpdateExpression' && isCounter(update.argument)) {
    down = update.operator === '--';
  } else if (
    update?.type === 'AssignmentExpression' &&
    isCounter(update.left) &&
    (update.operator === '+=' || update.operator === '-=')
  ) {
    down = update.operator === '-=';
    step = numberOf(names, update.right);
    if (
      !(step.kind === 'number' && step.value > 0) &&
      !(step.kind === 'constant' && names.text.extents.has(step.name))
    )
      return names.fail(update.right, `a step is a number above 0, or an extent of an operand; ${FORM}`);
  } else {
    return names.fail(update ?? node, `a loop moves its counter; ${FORM}`);
  }
  if (down !== (direction === 'down'))
    return names.fail(update, `the counter moves away from its bound; ${FORM}`);
  names.loops++;
  const body = block(names, node.body);
  names.loops--;
  const comparison = test.operator as Comparison;
  return { kind: 'for', slot, from, comparison, to, step, down, body, at };
}

/** @throws KernelError for a bound that elements of arrays decide about: then nothing would say that the loop ends */
function bound(names: Names, node: Expression): NumberExpression {
  const value = numberOf(names, node);
  if (isStill(names, value)) return value;
  return names.fail(
    node,
    'the bounds of a loop stand still; numbers, constants, this.thread.x, counters and const locals of such would be accepted (break ends a loop early)',
  );
}

function isStill(names: Names, value: NumberExpression): boolean {
  return !holds(
    value,
    (part) => part.kind === 'read' || (part.kind === 'local' && !names.stills[part.slot]!),
  );
}

function arithmetic(operator: Arithmetic, left: NumberExpression, right: NumberExpression): NumberExpression {
  return { kind: 'arithmetic', operator, left, right };
}

/** Whether what follows the statement is never reached. */
function leaves(statement: Statement): boolean {
  if (statement.kind === 'break' || statement.kind === 'continue' || statement.kind === 'return') return true;
  if (statement.kind !== 'if') return false;
  const [then, otherwise] = [statement.then.at(-1), statement.otherwise.at(-1)];
  return then !== undefined && otherwise !== undefined && leaves(then) && leaves(otherwise);
}

/** Whether every way through the statements ends with a number. */
function alwaysReturns(list: readonly Statement[]): boolean {
  const last = list.at(-1);
  if (last?.kind === 'return') return true;
  return last?.kind === 'if' && alwaysReturns(last.then) && alwaysReturns(last.otherwise);
}
