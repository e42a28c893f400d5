import type { Position } from './errors.js';

/**
 * A kernel as data: what is left of a function's text once it has been checked. It is what is run and compiled; the
 * text itself never is. Locals have slots, each declaration its own; all values are numbers.
 */
export interface OperatorKernel {
  /** `forward`, `gradient of x`. */
  readonly title: string;
  readonly source: string;
  /** Names that the function gives its arrays, in order. */
  readonly parameters: readonly string[];
  readonly body: readonly Statement[];
  /** Names of locals by slot. */
  readonly locals: readonly string[];
  /** Names of `this.constants` that it reads, each with the first place. */
  readonly constants: readonly (Position & { readonly name: string })[];
}

export type Statement =
  | { readonly kind: 'let'; readonly slot: number; readonly value: NumberExpression; readonly at: Position }
  | {
      readonly kind: 'assign';
      readonly slot: number;
      readonly value: NumberExpression;
      readonly at: Position;
    }
  | {
      readonly kind: 'if';
      readonly test: BooleanExpression;
      readonly then: readonly Statement[];
      readonly otherwise: readonly Statement[];
      readonly at: Position;
    }
  | {
      /** for (let slot = from; slot COMPARISON to; slot += step) */
      readonly kind: 'for';
      readonly slot: number;
      readonly from: NumberExpression;
      readonly comparison: Comparison;
      readonly to: NumberExpression;
      readonly step: NumberExpression;
      /** Whether it counts down by `step`. */
      readonly down: boolean;
      readonly body: readonly Statement[];
      readonly at: Position;
    }
  | { readonly kind: 'break' | 'continue'; readonly at: Position }
  | { readonly kind: 'return'; readonly value: NumberExpression; readonly at: Position };

export type NumberExpression =
  | { readonly kind: 'number'; readonly value: number }
  /** `this.thread.x`: the cell's row-major place in the output. */
  | { readonly kind: 'thread' }
  | { readonly kind: 'constant'; readonly name: string }
  | { readonly kind: 'local'; readonly slot: number }
  | {
      readonly kind: 'read';
      /** Which parameter, from 0. */
      readonly parameter: number;
      readonly index: NumberExpression;
      readonly at: Position;
    }
  | { readonly kind: 'negate'; readonly of: NumberExpression }
  | {
      readonly kind: 'arithmetic';
      readonly operator: Arithmetic;
      readonly left: NumberExpression;
      readonly right: NumberExpression;
    }
  | { readonly kind: 'math'; readonly name: MathName; readonly operands: readonly NumberExpression[] }
  | {
      readonly kind: 'choose';
      readonly test: BooleanExpression;
      readonly then: NumberExpression;
      readonly otherwise: NumberExpression;
    };

export type BooleanExpression =
  | {
      readonly kind: 'compare';
      readonly operator: Comparison | Equality;
      readonly left: NumberExpression;
      readonly right: NumberExpression;
    }
  | {
      readonly kind: 'logic';
      readonly operator: '&&' | '||';
      readonly left: BooleanExpression;
      readonly right: BooleanExpression;
    }
  | { readonly kind: 'not'; readonly of: BooleanExpression };

export type Arithmetic = '+' | '-' | '*' | '/' | '%';
export type Comparison = '<' | '<=' | '>' | '>=';
export type Equality = '===' | '!==';

/** Functions of Math that every backend has, with how many operands each takes. */
export const MATH = {
  abs: 1,
  acos: 1,
  acosh: 1,
  asin: 1,
  asinh: 1,
  atan: 1,
  atan2: 2,
  atanh: 1,
  cbrt: 1,
  ceil: 1,
  cos: 1,
  cosh: 1,
  exp: 1,
  expm1: 1,
  floor: 1,
  log: 1,
  log10: 1,
  log1p: 1,
  log2: 1,
  max: 2,
  min: 2,
  pow: 2,
  round: 1,
  sign: 1,
  sin: 1,
  sinh: 1,
  sqrt: 1,
  tan: 1,
  tanh: 1,
  trunc: 1,
} as const;
export type MathName = keyof typeof MATH;

/** The parts of an expression. */
export function partsOf(
  expression: NumberExpression | BooleanExpression,
): readonly (NumberExpression | BooleanExpression)[] {
  switch (expression.kind) {
    case 'number':
    case 'thread':
    case 'constant':
    case 'local':
      return [];
    case 'read':
      return [expression.index];
    case 'negate':
    case 'not':
      return [expression.of];
    case 'arithmetic':
    case 'compare':
    case 'logic':
      return [expression.left, expression.right];
    case 'math':
      return expression.operands;
    case 'choose':
      return [expression.test, expression.then, expression.otherwise];
  }
}

/** Every expression in a kernel's statements, outer ones first. */
export function* expressionsOf(
  statements: readonly Statement[],
): Generator<NumberExpression | BooleanExpression> {
  for (const statement of statements) {
    switch (statement.kind) {
      case 'let':
      case 'assign':
      case 'return':
        yield* within(statement.value);
        break;
      case 'if':
        yield* within(statement.test);
        yield* expressionsOf(statement.then);
        yield* expressionsOf(statement.otherwise);
        break;
      case 'for':
        for (const each of [statement.from, statement.to, statement.step]) yield* within(each);
        yield* expressionsOf(statement.body);
        break;
      case 'break':
      case 'continue':
        break;
    }
  }
}

/** Whether some part of the expression fits. */
export function holds(
  expression: NumberExpression | BooleanExpression,
  fits: (part: NumberExpression | BooleanExpression) => boolean,
): boolean {
  return fits(expression) || partsOf(expression).some((part) => holds(part, fits));
}

function* within(
  expression: NumberExpression | BooleanExpression,
): Generator<NumberExpression | BooleanExpression> {
  yield expression;
  for (const part of partsOf(expression)) yield* within(part);
}
