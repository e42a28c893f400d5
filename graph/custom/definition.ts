import { OperatorError } from './errors.js';
import type { OperatorKernel } from './kernel.js';
import { parseKernel } from './parse.js';
import { faultOfRule, type ShapeRule } from './shape-rule.js';

/** A user's own operator, read and checked: plain data. All its values are float32; it has one output, called y. */
export interface CustomOperator {
  /** As in ONNX: `my.ops`. */
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly string[];
  /** Numbers by name, with their defaults. */
  readonly attributes: Readonly<Record<string, number>>;
  readonly output: ShapeRule;
  readonly forward: OperatorKernel;
  /** One for each input. */
  readonly gradients: readonly OperatorGradient[];
  /** Intervals of inputs' elements in which the gradient is checked; others are drawn from a normal distribution. */
  readonly ranges: Readonly<Record<string, readonly [number, number]>>;
}

/**
 * How the gradient of an input is computed from dy, the inputs and y. `own`: a cell for each of the input's elements.
 * `sum`: a cell for each element of y, summed over the axes along which the input was broadcast. `none`: it is zero.
 */
export type OperatorGradient =
  { readonly kind: 'own' | 'sum'; readonly kernel: OperatorKernel } | { readonly kind: 'none' };

/**
 * What a node of a user's operator computes: its forward kernel, or the gradient of an input. The node carries it itself,
 * so that graphs go through passes, cuts and threads without a registry beside them.
 */
export interface CustomNode {
  readonly operator: CustomOperator;
  /** `forward`, or the input whose gradient it is. */
  readonly part: string;
}

/** An operator as it is written into a model: kernels are the text of functions. */
export interface OperatorText {
  readonly domain: string;
  readonly name: string;
  readonly inputs: readonly string[];
  readonly attributes: Readonly<Record<string, number>>;
  readonly output: ShapeRule;
  readonly forward: string;
  readonly gradient: Readonly<Record<string, string | { readonly kernel: string; readonly reduce: 'sum' }>>;
  readonly ranges: Readonly<Record<string, readonly [number, number]>>;
}

/** In place of a kernel: the gradient is zero. */
export const NO_GRADIENT = 'none';
const GRADIENT = 'dy';
export const OUTPUT = 'y';

const DOMAIN = /^[A-Za-z][\w-]*(\.[\w-]+)*$/;
const NAME = /^[A-Za-z]\w{0,63}$/;
/** Domains with operators of their own. */
const TAKEN = /^(ai\.onnx|com\.microsoft|com\.ms|org\.pytorch)(\.|$)/;
const MOST_INPUTS = 16;
const MOST_ATTRIBUTES = 64;
/** Axes of an operand of which kernels know the extents. */
export const MOST_AXES = 8;

/** `my.ops.Snake`, as messages call it. */
export function titleOf({ domain, name }: Pick<OperatorText, 'domain' | 'name'>): string {
  return `${domain}.${name}`;
}

/** What a kernel of an operator is given: the forward kernel the inputs, a gradient's also dy and y. */
export function operandsOf(
  { inputs }: Pick<OperatorText, 'inputs'>,
  part: 'forward' | 'gradient',
): readonly string[] {
  return part === 'forward' ? inputs : [GRADIENT, ...inputs, OUTPUT];
}

/**
 * Reads what may be an operator's text, from wherever it comes. Nothing of it is run.
 * @throws OperatorError, KernelError
 */
export function readOperator(text: unknown): CustomOperator {
  if (!isRecord(text))
    throw new OperatorError('?', 'a definition is an object with domain, name, inputs, forward and gradient');
  const { domain, name, inputs, attributes = {}, output, forward, gradient, ranges = {} } = text;
  const title = `${String(domain)}.${String(name)}`.slice(0, 200);
  const refuse = (reason: string): never => {
    throw new OperatorError(title, reason);
  };
  if (typeof domain !== 'string' || domain.length > 128 || !DOMAIN.test(domain) || TAKEN.test(domain))
    return refuse('its domain is to be one of your own, such as my.ops');
  if (typeof name !== 'string' || !NAME.test(name))
    return refuse('its name is to be of letters, digits and _, such as Snake');
  const operands = namesIn(inputs, refuse);
  const numbers = numbersIn(attributes, operands, refuse);
  const rule = (output ?? operands[0]) as ShapeRule;
  const fault = faultOfRule(rule, operands);
  if (fault !== undefined) return refuse(`output: ${fault}`);
  const kernel = (part: 'forward' | 'gradient', source: unknown, kernelTitle: string): OperatorKernel => {
    if (typeof source !== 'string') return refuse(`${kernelTitle} is to be a function`);
    const given = operandsOf({ inputs: operands }, part);
    const extents = extentNames(operandsOf({ inputs: operands }, 'gradient'), part);
    return parseKernel({
      operator: title,
      title: kernelTitle,
      source,
      constants: new Set([...Object.keys(numbers), ...extents]),
      extents,
      arrays: given.length,
    });
  };
  if (!isRecord(gradient)) return refuse('gradient is to have a kernel, or "none", for each input');
  const unknown = Object.keys(gradient).find((key) => !operands.includes(key));
  if (unknown !== undefined)
    return refuse(`gradient.${unknown}: there is no such input; ${operands.join(', ')} would be accepted`);
  return {
    domain,
    name,
    inputs: operands,
    attributes: numbers,
    output: rule,
    forward: kernel('forward', forward, 'forward'),
    gradients: operands.map((input): OperatorGradient => {
      const written = Object.hasOwn(gradient, input) ? gradient[input] : undefined;
      if (written === undefined)
        return refuse(`gradient.${input} is missing; a kernel or "${NO_GRADIENT}" would be accepted`);
      if (written === NO_GRADIENT) return { kind: 'none' };
      const reduces = isRecord(written);
      if (reduces && written['reduce'] !== 'sum') return refuse(`gradient.${input}.reduce is to be "sum"`);
      const source = reduces ? written['kernel'] : written;
      return { kind: reduces ? 'sum' : 'own', kernel: kernel('gradient', source, `gradient of ${input}`) };
    }),
    ranges: rangesIn(ranges, operands, refuse),
  };
}

/** What `readOperator` reads. */
export function writeOperator(operator: CustomOperator): OperatorText {
  const { domain, name, inputs, attributes, output, forward, gradients, ranges } = operator;
  const gradient = inputs.map((input, i) => {
    const of = gradients[i]!;
    if (of.kind === 'none') return [input, NO_GRADIENT] as const;
    const { source } = of.kernel;
    return [input, of.kind === 'sum' ? ({ kernel: source, reduce: 'sum' } as const) : source] as const;
  });
  return {
    domain,
    name,
    inputs,
    attributes,
    output,
    forward: forward.source,
    gradient: Object.fromEntries(gradient),
    ranges,
  };
}

function extentNames(operands: readonly string[], part: 'forward' | 'gradient'): ReadonlySet<string> {
  const axes = Array.from({ length: MOST_AXES }, (_, axis) => String(axis));
  const sized = part === 'forward' ? operands.filter((operand) => operand !== GRADIENT) : operands;
  return new Set(sized.flatMap((each) => ['size', ...axes].map((what) => `${each}_${what}`)));
}

function namesIn(inputs: unknown, refuse: (reason: string) => never): readonly string[] {
  if (!Array.isArray(inputs) || inputs.length === 0 || inputs.length > MOST_INPUTS)
    return refuse(`inputs is to be a list of 1 to ${MOST_INPUTS} names`);
  const names = inputs as readonly unknown[];
  const bad = names.find(
    (name) => typeof name !== 'string' || !NAME.test(name) || name === GRADIENT || name === OUTPUT,
  );
  if (bad !== undefined)
    return refuse(
      `${JSON.stringify(bad)} cannot be an input's name; letters, digits and _ would be accepted, but not ${GRADIENT} and ${OUTPUT}`,
    );
  if (new Set(names).size < names.length) return refuse('two inputs have one name');
  return names as readonly string[];
}

function numbersIn(attributes: unknown, inputs: readonly string[], refuse: (reason: string) => never) {
  if (!isRecord(attributes) || Object.keys(attributes).length > MOST_ATTRIBUTES)
    return refuse('attributes is to be a map of names to numbers');
  for (const [name, value] of Object.entries(attributes)) {
    if (!NAME.test(name))
      return refuse(`attributes: "${name}" cannot be a name; letters, digits and _ would be accepted`);
    if (typeof value !== 'number' || !Number.isFinite(value))
      return refuse(`attributes.${name} is to be a finite number, its default`);
    const [, operand = ''] = /^(.*)_(?:size|\d+)$/.exec(name) ?? [];
    if ([...inputs, GRADIENT, OUTPUT].includes(operand))
      return refuse(`attributes.${name} has the name of an extent of ${operand}; another would be accepted`);
  }
  return attributes as Readonly<Record<string, number>>;
}

function rangesIn(ranges: unknown, inputs: readonly string[], refuse: (reason: string) => never) {
  if (!isRecord(ranges)) return refuse('ranges is to be a map of inputs to [from, to]');
  for (const [input, range] of Object.entries(ranges)) {
    const [from, to, ...more] = Array.isArray(range) ? (range as readonly unknown[]) : [];
    const valid =
      Number.isFinite(from) && Number.isFinite(to) && (from as number) < (to as number) && more.length === 0;
    if (!inputs.includes(input) || !valid) return refuse(`ranges.${input} is to be [from, to], of an input`);
  }
  return ranges as Readonly<Record<string, readonly [number, number]>>;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
