import type {
  BooleanExpression,
  NumberExpression,
  OperatorKernel,
  Statement,
} from '../../../../graph/index.js';

/** A kernel in gpu.js's language. */
export interface PrintedKernel {
  readonly source: string;
  /** Parameters that it reads: the text has no others. */
  readonly reads: readonly number[];
  /** The user's line for each line of the text, from 0; undefined for those that frame it. */
  readonly lines: readonly (number | undefined)[];
}

/**
 * Writes a user's kernel anew, from what was read of it: gpu.js never sees the user's text. Constants are frozen in as
 * numbers. Locals have names of their own, and those that change are floats from the beginning.
 */
export function printKernel(
  kernel: OperatorKernel,
  constants: Readonly<Record<string, number>>,
): PrintedKernel {
  return new Printer(kernel, constants).print();
}

class Printer {
  private readonly reads = new Set<number>();
  private readonly text: string[] = [];
  private readonly lines: (number | undefined)[] = [];
  private readonly changing: ReadonlySet<number>;

  constructor(
    private readonly kernel: OperatorKernel,
    private readonly constants: Readonly<Record<string, number>>,
  ) {
    this.changing = new Set(assignedIn(kernel.body));
  }

  print(): PrintedKernel {
    this.statements(this.kernel.body, '  ');
    const reads = [...this.reads].sort((a, b) => a - b);
    const head = `function (${reads.map((parameter) => this.array(parameter)).join(', ')}) {`;
    return {
      source: [head, ...this.text, '}'].join('\n'),
      reads,
      lines: [undefined, ...this.lines, undefined],
    };
  }

  private line(text: string, at?: { readonly line: number }): void {
    this.text.push(text);
    this.lines.push(at?.line);
  }

  private statements(list: readonly Statement[], indent: string): void {
    for (const each of list) this.statement(each, indent);
  }

  private statement(each: Statement, indent: string): void {
    const { at } = each;
    switch (each.kind) {
      case 'let':
        this.line(`${indent}let ${this.local(each.slot)} = ${this.first(each.slot, each.value)};`, at);
        return;
      case 'assign':
        this.line(`${indent}${this.local(each.slot)} = ${this.number(each.value)};`, at);
        return;
      case 'if':
        this.line(`${indent}if (${this.test(each.test)}) {`, at);
        this.statements(each.then, `${indent}  `);
        if (each.otherwise.length > 0) {
          this.line(`${indent}} else {`);
          this.statements(each.otherwise, `${indent}  `);
        }
        this.line(`${indent}}`);
        return;
      case 'for': {
        const counter = this.local(each.slot);
        const [from, to, step] = [each.from, each.to, each.step].map((part) => this.number(part));
        this.line(
          `${indent}for (let ${counter} = ${from!}; ${counter} ${each.comparison} ${to!}; ${counter} ${each.down ? '-' : '+'}= ${step!}) {`,
          at,
        );
        this.statements(each.body, `${indent}  `);
        this.line(`${indent}}`);
        return;
      }
      case 'break':
      case 'continue':
        this.line(`${indent}${each.kind};`, at);
        return;
      case 'return':
        this.line(`${indent}return ${this.number(each.value)};`, at);
        return;
    }
  }

  /** gpu.js takes the type of a local from its first value: an integer would cut off what comes later. */
  private first(slot: number, value: NumberExpression): string {
    const text = this.number(value);
    return this.changing.has(slot) && value.kind !== 'number' && isWhole(value)
      ? `Math.floor(${text})`
      : text;
  }

  private number(of: NumberExpression): string {
    switch (of.kind) {
      case 'number':
        return literal(of.value);
      case 'thread':
        return 'this.thread.x';
      case 'constant':
        return literal(this.constants[of.name] ?? NaN);
      case 'local':
        return this.local(of.slot);
      case 'read':
        this.reads.add(of.parameter);
        return `${this.array(of.parameter)}[${this.number(of.index)}]`;
      case 'negate':
        return `(-${this.number(of.of)})`;
      case 'arithmetic':
        return `(${this.number(of.left)} ${of.operator} ${this.number(of.right)})`;
      case 'math':
        return `Math.${of.name}(${of.operands.map((each) => this.number(each)).join(', ')})`;
      case 'choose':
        return `(${this.test(of.test)} ? ${this.number(of.then)} : ${this.number(of.otherwise)})`;
    }
  }

  private test(of: BooleanExpression): string {
    switch (of.kind) {
      case 'compare':
        return `(${this.number(of.left)} ${of.operator} ${this.number(of.right)})`;
      case 'logic':
        return `(${this.test(of.left)} ${of.operator} ${this.test(of.right)})`;
      case 'not':
        return `(!${this.test(of.of)})`;
    }
  }

  private local(slot: number): string {
    return `v${slot}_${this.kernel.locals[slot]!}`;
  }

  private array(parameter: number): string {
    return `a${parameter}_${this.kernel.parameters[parameter]!}`;
  }
}

/** Whether gpu.js may take the expression for an integer. */
function isWhole(of: NumberExpression): boolean {
  switch (of.kind) {
    case 'number':
    case 'thread':
    case 'constant':
    case 'local':
      return true;
    case 'negate':
      return isWhole(of.of);
    case 'arithmetic':
      return of.operator !== '/' && isWhole(of.left) && isWhole(of.right);
    case 'read':
    case 'math':
    case 'choose':
      return false;
  }
}

function* assignedIn(statements: readonly Statement[]): Generator<number> {
  for (const each of statements) {
    if (each.kind === 'assign') yield each.slot;
    if (each.kind === 'if') yield* assignedIn([...each.then, ...each.otherwise]);
    if (each.kind === 'for') yield* assignedIn(each.body);
  }
}

function literal(value: number): string {
  return value < 0 || Object.is(value, -0) ? `(-${-value})` : String(value);
}
