import { OperatorError } from './errors.js';
import type { NO_GRADIENT } from './definition.js';
import { readOperator, titleOf, type CustomOperator } from './definition.js';
import type { ShapeRule } from './shape-rule.js';

/** What `this` is in a kernel. */
export interface KernelThis<Constants extends string = string> {
  /** `this.thread.x`: the cell's row-major place in the output. */
  readonly thread: { readonly x: number };
  /** Attributes, and of each operand its size (`x_size`) and its extents (`x_0`, `x_1`, ...). */
  readonly constants: Readonly<Record<Constants, number>>;
}

/** Elements of an operand, row-major. */
export type Values = Readonly<Record<number, number>>;

type Axis = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7;
type Extents<Operand extends string> = `${Operand}_size` | `${Operand}_${Axis}`;

type Kernel<Constants extends string> = (this: KernelThis<Constants>, ...operands: number[][]) => number;

/** The gradient of one input: see `OperatorGradient`. */
type Gradient<Constants extends string> =
  Kernel<Constants> | { readonly kernel: Kernel<Constants>; readonly reduce: 'sum' } | typeof NO_GRADIENT;

export interface OperatorOptions<Input extends string, Attribute extends string> {
  /** As in ONNX, one of your own: `my.ops`. */
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly Input[];
  /** Numbers by name, with their defaults: `this.constants.NAME` in kernels. */
  readonly attributes?: Readonly<Record<Attribute, number>>;
  /** The output's shape; that of the first input where absent. */
  readonly output?: Input | readonly (number | string)[];
  /** One cell of the output from the inputs, which it takes in order. */
  readonly forward: Kernel<Attribute | Extents<Input | 'y'>>;
  /** For each input: one cell of its gradient from dy, the inputs and y, in this order; later ones may be left out. */
  readonly gradient: Readonly<Record<Input, Gradient<Attribute | Extents<Input | 'y' | 'dy'>>>>;
  /** Where the gradient is checked: intervals of inputs' elements. Normally distributed where absent. */
  readonly ranges?: Readonly<Partial<Record<Input, readonly [number, number]>>>;
}

/** A user's own operator, to be used in models: see `custom`. */
export interface Operator {
  readonly kind: 'dtrain.operator';
  readonly operator: CustomOperator;
}

/**
 * Registers an operator. Its kernels are plain functions in gpu.js's language over flat row-major arrays: numbers, arithmetic,
 * Math, conditions, bounded loops, and locals; they run once for each cell of the output, `this.thread.x`. Nothing outside of
 * a function is within its reach. They are read as text here, checked, and compiled for each device.
 * @throws KernelError with the line of what a kernel cannot say; OperatorError
 *
 * @example
 * const snake = defineOperator({
 *   domain: 'my.ops',
 *   name: 'Square',
 *   inputs: ['x'],
 *   forward: function (x) { return x[this.thread.x] * x[this.thread.x]; },
 *   gradient: { x: function (dy, x) { return 2 * x[this.thread.x] * dy[this.thread.x]; } },
 * });
 */
export function defineOperator<const Input extends string, const Attribute extends string = never>(
  options: OperatorOptions<Input, Attribute>,
): Operator {
  const { domain, name, inputs, attributes, output, forward, gradient, ranges } = options;
  const title = titleOf({ domain, name });
  const gradients = Object.entries<unknown>(gradient).map(([input, written]) => {
    if (typeof written === 'function') return [input, textOf(title, written)];
    if (typeof written !== 'object' || written === null) return [input, written];
    const { kernel, ...rest } = written as { readonly kernel?: unknown };
    return [input, { ...rest, kernel: textOf(title, kernel) }];
  });
  const operator = readOperator({
    domain,
    name,
    inputs,
    attributes: attributes ?? {},
    output: (output as ShapeRule | undefined) ?? inputs[0],
    forward: textOf(title, forward),
    gradient: Object.fromEntries(gradients) as unknown,
    ranges: ranges ?? {},
  });
  return { kind: 'dtrain.operator', operator };
}

/** Whether something is an operator of this API, of whatever copy of dtrain. */
export function isOperator(value: unknown): value is Operator {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'dtrain.operator';
}

/** A function's text; that of a method becomes that of a function. */
function textOf(title: string, kernel: unknown): string {
  if (typeof kernel !== 'function')
    throw new OperatorError(title, 'forward and each gradient are to be functions');
  const text = Function.prototype.toString.call(kernel);
  return /^(async\b|function\b|class\b|\()/.test(text) || /^[\w$]+\s*=>/.test(text)
    ? text
    : `function ${text}`;
}
