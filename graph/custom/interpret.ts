import { InvariantError } from '../../base/index.js';
import { OperatorError } from './errors.js';
import type { BooleanExpression, MathName, NumberExpression, OperatorKernel, Statement } from './kernel.js';

/** What a kernel is run on. */
export interface KernelRun {
  /** One for each parameter. */
  readonly arrays: readonly Float64Array[];
  readonly constants: Readonly<Record<string, number>>;
  /** Cells of the output. */
  readonly size: number;
}

/** Turns of loops in one run, over all cells, which take some ten seconds: what takes more is taken for a mistake. */
const MOST_TURNS = 2 ** 28;

/** One cell in the making. */
interface Frame extends KernelRun {
  readonly locals: Float64Array;
  thread: number;
  result: number;
  turns: number;
}

type Value = (frame: Frame) => number;
type Test = (frame: Frame) => boolean;
/** Says how the statement ended. */
type Action = (frame: Frame) => 'next' | 'break' | 'continue' | 'return';

/**
 * The meaning of a kernel: its cells one after the other, in float64. A walk over what the checked text became, so that it
 * can do nothing that the language of kernels has no word for. Slow and obvious: engines are checked against it.
 * @param operator for messages
 * @throws OperatorError where it reads beside an array
 */
export function runKernel(operator: string, kernel: OperatorKernel, run: KernelRun): Float64Array {
  const actions = new Compiler(operator, kernel).sequence(kernel.body);
  const frame: Frame = {
    ...run,
    locals: new Float64Array(kernel.locals.length),
    thread: 0,
    result: NaN,
    turns: 0,
  };
  const cells = new Float64Array(run.size);
  for (let i = 0; i < cells.length; i++) {
    frame.thread = i;
    if (actions(frame) !== 'return')
      throw new InvariantError(`${kernel.title} of ${operator} did not return`);
    cells[i] = frame.result;
  }
  return cells;
}

/** Makes closures of a kernel, once for all its cells. */
class Compiler {
  constructor(
    private readonly operator: string,
    private readonly kernel: OperatorKernel,
  ) {}

  sequence(statements: readonly Statement[]): Action {
    const actions = statements.map((each) => this.action(each));
    return (frame) => {
      for (const action of actions) {
        const ended = action(frame);
        if (ended !== 'next') return ended;
      }
      return 'next';
    };
  }

  private action(statement: Statement): Action {
    switch (statement.kind) {
      case 'let':
      case 'assign': {
        const [value, { slot }] = [this.value(statement.value), statement];
        return (frame) => {
          frame.locals[slot] = value(frame);
          return 'next';
        };
      }
      case 'if': {
        const test = this.test(statement.test);
        const [then, otherwise] = [this.sequence(statement.then), this.sequence(statement.otherwise)];
        return (frame) => (test(frame) ? then(frame) : otherwise(frame));
      }
      case 'for':
        return this.loop(statement);
      case 'break':
      case 'continue':
        return () => statement.kind;
      case 'return': {
        const value = this.value(statement.value);
        return (frame) => {
          frame.result = value(frame);
          return 'return';
        };
      }
    }
  }

  private loop(statement: Statement & { readonly kind: 'for' }): Action {
    const { slot, down, comparison } = statement;
    const [from, to, step] = [statement.from, statement.to, statement.step].map((each) =>
      this.value(each),
    ) as [Value, Value, Value];
    const goesOn = comparisons[comparison];
    const body = this.sequence(statement.body);
    return (frame) => {
      for (frame.locals[slot] = from(frame); goesOn(frame.locals[slot], to(frame));) {
        if (++frame.turns > MOST_TURNS)
          throw new OperatorError(
            this.operator,
            `${this.kernel.title}, line ${statement.at.line}: its loops turn more than ${MOST_TURNS} times`,
          );
        const ended = body(frame);
        if (ended === 'return') return ended;
        if (ended === 'break') break;
        frame.locals[slot] += down ? -step(frame) : step(frame);
      }
      return 'next';
    };
  }

  private value(expression: NumberExpression): Value {
    switch (expression.kind) {
      case 'number': {
        const { value } = expression;
        return () => value;
      }
      case 'thread':
        return ({ thread }) => thread;
      case 'constant': {
        const { name } = expression;
        return ({ constants }) => constants[name] ?? NaN;
      }
      case 'local': {
        const { slot } = expression;
        return ({ locals }) => locals[slot]!;
      }
      case 'read':
        return this.read(expression);
      case 'negate': {
        const of = this.value(expression.of);
        return (frame) => -of(frame);
      }
      case 'arithmetic': {
        const [left, right] = [this.value(expression.left), this.value(expression.right)];
        const of = arithmetic[expression.operator];
        return (frame) => of(left(frame), right(frame));
      }
      case 'math': {
        const [first, second] = expression.operands.map((each) => this.value(each));
        const of = functions[expression.name];
        return second ? (frame) => of(first!(frame), second(frame)) : (frame) => of(first!(frame), 0);
      }
      case 'choose': {
        const test = this.test(expression.test);
        const [then, otherwise] = [this.value(expression.then), this.value(expression.otherwise)];
        return (frame) => (test(frame) ? then(frame) : otherwise(frame));
      }
    }
  }

  private read({ parameter, index, at }: NumberExpression & { readonly kind: 'read' }): Value {
    const place = this.value(index);
    const name = this.kernel.parameters[parameter]!;
    return (frame) => {
      const i = place(frame);
      const element = frame.arrays[parameter]?.[i];
      if (element === undefined) {
        throw new OperatorError(
          this.operator,
          `${this.kernel.title}, line ${at.line}, column ${at.column}: cell ${frame.thread} reads ${name}[${i}], and ${name} has ` +
            `${frame.arrays[parameter]?.length ?? 0} elements; whole numbers from 0 below that would be accepted`,
        );
      }
      return element;
    };
  }

  private test(expression: BooleanExpression): Test {
    switch (expression.kind) {
      case 'compare': {
        const [left, right] = [this.value(expression.left), this.value(expression.right)];
        const of = comparisons[expression.operator];
        return (frame) => of(left(frame), right(frame));
      }
      case 'logic': {
        const [left, right] = [this.test(expression.left), this.test(expression.right)];
        return expression.operator === '&&'
          ? (frame) => left(frame) && right(frame)
          : (frame) => left(frame) || right(frame);
      }
      case 'not': {
        const of = this.test(expression.of);
        return (frame) => !of(frame);
      }
    }
  }
}

/** Those with one operand do not look at a second. */
const functions: Readonly<Record<MathName, (a: number, b: number) => number>> = Math;

const comparisons = {
  '<': (a: number, b: number) => a < b,
  '<=': (a: number, b: number) => a <= b,
  '>': (a: number, b: number) => a > b,
  '>=': (a: number, b: number) => a >= b,
  '===': (a: number, b: number) => a === b,
  '!==': (a: number, b: number) => a !== b,
} as const;

const arithmetic = {
  '+': (a: number, b: number) => a + b,
  '-': (a: number, b: number) => a - b,
  '*': (a: number, b: number) => a * b,
  '/': (a: number, b: number) => a / b,
  '%': (a: number, b: number) => a % b,
} as const;
