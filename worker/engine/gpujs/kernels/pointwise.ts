import {
  floatAttribute,
  intAttribute,
  isFloat,
  stringAttribute,
  type DataType,
  type Node,
} from '../../../../graph/index.js';
import type { Body } from '../body.js';

/** A cell of an operator's output from one cell of each operand; undefined where this form of it has no kernel. */
export type Pointwise = (operands: readonly string[], body: Body, node: Node, dtype: DataType) => string;

type Of1 = (x: string, body: Body) => string;
type Of2 = (a: string, b: string) => string;

const one =
  (of: Of1): Pointwise =>
  ([x], body) =>
    of(x!, body);
const two =
  (of: Of2): Pointwise =>
  ([a, b]) =>
    of(a!, b!);
/** Folded from the left, as ONNX's variadic operators are. */
const many =
  (of: Of2): Pointwise =>
  (operands, body) =>
    operands.reduce((a, b) => body.let(of(a, b)));
const truth = (test: (a: string, b: string) => string): Pointwise => two((a, b) => `(${test(a, b)} ? 1 : 0)`);
const call = (name: string): Pointwise => one((x) => `Math.${name}(${x})`);

/** A number as it stands in a kernel. */
export function literal(value: number): string {
  return value < 0 || Object.is(value, -0) ? `(-${Math.abs(value)})` : String(value);
}

/** A float attribute; ONNX states its defaults in float32. */
function float(node: Node, name: string, fallback: number): number {
  return floatAttribute(node, name, Math.fround(fallback));
}

/** e^x - 1 where WGSL has no function for it: five terms of the series near 0, where the difference cancels. */
export function expm1(x: string, { backend }: Body): string {
  if (backend !== 'webgpu') return `Math.expm1(${x})`;
  const series = `${x} * (1 + ${x} * (0.5 + ${x} * (0.16666667 + ${x} * (0.041666668 + ${x} * 0.008333334))))`;
  return `(Math.abs(${x}) < 0.25 ? ${series} : Math.exp(${x}) - 1)`;
}

/** log(1 + x) for x in [0, 1]: the series of 2 atanh(x / (2 + x)) near 0. */
export function log1p(x: string, body: Body): string {
  if (body.backend !== 'webgpu') return `Math.log1p(${x})`;
  const z = body.let(`${x} / (2 + ${x})`);
  const square = body.let(`${z} * ${z}`);
  const series = `2 * ${z} * (1 + ${square} * (0.33333334 + ${square} * (0.2 + ${square} * 0.14285715)))`;
  return `(Math.abs(${x}) < 0.25 ? ${series} : Math.log(1 + ${x}))`;
}

/** Where tanh is 1 to float32; some GPUs overflow beyond 40. */
function tanh(x: string, { backend }: Body): string {
  return backend === 'webgpu' || backend === 'webgl'
    ? `Math.tanh(Math.min(Math.max(${x}, -15), 15))`
    : `Math.tanh(${x})`;
}

function sigmoid(x: string, body: Body): string {
  const e = body.let(`Math.exp(-Math.abs(${x}))`);
  return `((${x} < 0 ? ${e} : 1) / (1 + ${e}))`;
}

function softplus(x: string, body: Body): string {
  const e = body.let(`Math.exp(-Math.abs(${x}))`);
  return `(Math.max(${x}, 0) + ${log1p(e, body)})`;
}

const ERF_NUMERATOR = [
  0.00022905065861350646, 0.0034082910107109506, 0.050955695062380861, 0.18520832239976145, 1.128379143519084,
];
const ERF_DENOMINATOR = [
  -1.1791602954361697e-7, 0.000023547966471313185, 0.0010179625278914885, 0.014070470171167667,
  0.11098505178285362, 0.49746925110067538, 1,
];

/** The rational approximation of XLA, to a few units in float32's last place; 1 from 3.8325... on. */
export function erf(x: string, body: Body): string {
  const inside = body.let(`Math.min(Math.max(${x}, -3.832506856900711), 3.832506856900711)`);
  const square = body.let(`${inside} * ${inside}`);
  const polynomial = (terms: readonly number[]): string =>
    terms.slice(1).reduce((sum, term) => `(${sum} * ${square} + ${literal(term)})`, literal(terms[0]!));
  return `(${inside} * ${polynomial(ERF_NUMERATOR)} / ${polynomial(ERF_DENOMINATOR)})`;
}

function gelu(x: string, body: Body): string {
  const inner = body.let(`${x} * ${Math.SQRT1_2}`);
  return `(0.5 * ${x} * (1 + ${erf(inner, body)}))`;
}

function geluByTanh(x: string, body: Body): string {
  const inner = body.let(`${Math.sqrt(2 / Math.PI)} * (${x} + 0.044715 * ${x} * ${x} * ${x})`);
  return `(0.5 * ${x} * (1 + ${tanh(inner, body)}))`;
}

/** Halves to the even neighbour. */
function roundToEven(x: string, body: Body): string {
  const up = body.let(`Math.floor(${x} + 0.5)`);
  const odd = body.let(`${up} - 2 * Math.floor(${up} * 0.5)`);
  return `(${up} - ${x} === 0.5 ? ${up} - ${odd} : ${up})`;
}

/** Towards zero; half a step off, so that a quotient a few units in the last place off is still right. */
function integerQuotient(a: string, b: string, body: Body): string {
  const size = body.let(`Math.floor((Math.abs(${a}) + 0.5) / Math.abs(${b}))`);
  return `(${a} * ${b} < 0 ? -${size} : ${size})`;
}

/** A power that is exact where it can be: pow of a negative base is not defined on every GPU. */
function power(base: string, exponent: string, body: Body): string {
  const known = /^\(?-?[\d.e]+\)?$/.test(exponent) ? Number(exponent.replace(/[()]/g, '')) : undefined;
  switch (known) {
    case 0:
      return '1';
    case 1:
      return base;
    case 2:
      return `(${base} * ${base})`;
    case 3:
      return `(${base} * ${base} * ${base})`;
    case 0.5:
      return `Math.sqrt(${base})`;
    case -0.5:
      return `(1 / Math.sqrt(${base}))`;
    case -1:
      return `(1 / ${base})`;
    default:
      break;
  }
  if (body.backend === 'wasm' || body.backend === 'javascript') return `Math.pow(${base}, ${exponent})`;
  const size = body.let(`Math.pow(Math.abs(${base}), ${exponent})`);
  const half = body.let(`${exponent} * 0.5`);
  // an odd exponent keeps the sign of its base
  return `(${base} < 0 && Math.floor(${half}) !== ${half} ? -${size} : ${size})`;
}

/** fmod = 1 takes the dividend's sign; fmod = 0, of integers, the divisor's. */
function modulo([a, b]: readonly string[], body: Body, node: Node, dtype: DataType): string {
  if (isFloat(dtype)) return `(${a!} - ${b!} * Math.trunc(${a!} / ${b!}))`;
  const rest = body.let(`${a!} - ${b!} * ${body.let(integerQuotient(a!, b!, body))}`);
  if (intAttribute(node, 'fmod', 0) === 1) return rest;
  return `(${rest} * ${b!} < 0 ? ${rest} + ${b!} : ${rest})`;
}

/** Mathematics, logic and activations, by operator. */
export const pointwise: Readonly<Record<string, Pointwise>> = {
  Abs: call('abs'),
  Acos: call('acos'),
  Acosh: call('acosh'),
  Add: two((a, b) => `(${a} + ${b})`),
  And: two((a, b) => `(${a} * ${b})`),
  Asin: call('asin'),
  Asinh: call('asinh'),
  Atan: call('atan'),
  Atanh: call('atanh'),
  BitwiseNot: one((x) => `(-1 - ${x})`),
  Ceil: call('ceil'),
  Celu: ([x], body, node) => {
    const alpha = literal(float(node, 'alpha', 1));
    return `(${x!} > 0 ? ${x!} : ${alpha} * ${expm1(body.let(`${x!} / ${alpha}`), body)})`;
  },
  Cos: call('cos'),
  Cosh: call('cosh'),
  Div: ([a, b], body, _, dtype) => (isFloat(dtype) ? `(${a!} / ${b!})` : integerQuotient(a!, b!, body)),
  Elu: ([x], body, node) => `(${x!} < 0 ? ${literal(float(node, 'alpha', 1))} * ${expm1(x!, body)} : ${x!})`,
  Equal: truth((a, b) => `${a} === ${b}`),
  Erf: one(erf),
  Exp: call('exp'),
  Floor: call('floor'),
  Gelu: ([x], body, node) =>
    stringAttribute(node, 'approximate', 'none') === 'tanh' ? geluByTanh(x!, body) : gelu(x!, body),
  Greater: truth((a, b) => `${a} > ${b}`),
  GreaterOrEqual: truth((a, b) => `${a} >= ${b}`),
  HardSigmoid: ([x], _, node) => {
    const [alpha, beta] = [float(node, 'alpha', 0.2), float(node, 'beta', 0.5)];
    return `Math.min(1, Math.max(0, ${literal(alpha)} * ${x!} + ${literal(beta)}))`;
  },
  HardSwish: one((x) => `(${x} * Math.min(1, Math.max(0, ${x} / 6 + 0.5)))`),
  LeakyRelu: ([x], _, node) => `(${x!} < 0 ? ${literal(float(node, 'alpha', 0.01))} * ${x!} : ${x!})`,
  Less: truth((a, b) => `${a} < ${b}`),
  LessOrEqual: truth((a, b) => `${a} <= ${b}`),
  Log: call('log'),
  Max: many((a, b) => `Math.max(${a}, ${b})`),
  Mean: (operands) => `((${operands.join(' + ')}) / ${operands.length})`,
  Min: many((a, b) => `Math.min(${a}, ${b})`),
  Mish: one((x, body) => `(${x} * ${tanh(body.let(softplus(x, body)), body)})`),
  Mod: modulo,
  Mul: two((a, b) => `(${a} * ${b})`),
  Neg: one((x) => `(-${x})`),
  Not: one((x) => `(1 - ${x})`),
  Or: two((a, b) => `Math.max(${a}, ${b})`),
  Pow: ([a, b], body) => power(a!, b!, body),
  PRelu: two((x, slope) => `(${x} < 0 ? ${slope} * ${x} : ${x})`),
  Reciprocal: one((x) => `(1 / ${x})`),
  Relu: one((x) => `Math.max(${x}, 0)`),
  Round: one(roundToEven),
  Selu: ([x], body, node) => {
    const alpha = literal(float(node, 'alpha', 1.67326319217681884765625));
    const gamma = literal(float(node, 'gamma', 1.05070102214813232421875));
    return `(${gamma} * (${x!} > 0 ? ${x!} : ${alpha} * ${expm1(x!, body)}))`;
  },
  Shrink: ([x], _, node) => {
    const [bias, edge] = [literal(float(node, 'bias', 0)), literal(float(node, 'lambd', 0.5))];
    return `(${x!} < -${edge} ? ${x!} + ${bias} : (${x!} > ${edge} ? ${x!} - ${bias} : 0))`;
  },
  Sigmoid: one(sigmoid),
  Sign: one((x) => `(${x} > 0 ? 1 : (${x} < 0 ? -1 : 0))`),
  Sin: call('sin'),
  Sinh: call('sinh'),
  Softplus: one(softplus),
  Softsign: one((x) => `(${x} / (1 + Math.abs(${x})))`),
  Sqrt: call('sqrt'),
  Sub: two((a, b) => `(${a} - ${b})`),
  Sum: many((a, b) => `(${a} + ${b})`),
  Swish: ([x], body, node) =>
    `(${x!} * ${sigmoid(body.let(`${literal(float(node, 'alpha', 1))} * ${x!}`), body)})`,
  Tan: call('tan'),
  Tanh: one(tanh),
  ThresholdedRelu: ([x], _, node) => `(${x!} > ${literal(float(node, 'alpha', 1))} ? ${x!} : 0)`,
  Where: ([condition, yes, no]) => `(${condition!} !== 0 ? ${yes!} : ${no!})`,
  Xor: two((a, b) => `Math.abs(${a} - ${b})`),
};
