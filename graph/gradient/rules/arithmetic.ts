import { isDifferentiable, sortedAxes, type Operand } from '../../formula/index.js';
import { elementType } from '../../ir/element.js';
import type { GradientContext, GradientRule, RuleTable } from '../context.js';
import { whereBetween } from './step.js';

const scaled =
  (slope: (g: GradientContext) => Operand): GradientRule =>
  (g) => [g.mul(g.dy, slope(g))];

/** One gradient per input, reduced to the input's shape; the term of an input that needs none is not written. */
function broadcasting(...terms: readonly ((g: GradientContext) => string)[]): GradientRule {
  return (g) => terms.map((term, i) => (g.needs(i) ? g.reduceTo(term(g), g.shapeOf(g.input(i))) : undefined));
}

/** d(a^b)/da = b a^(b-1), for the common constant exponents without a Pow. */
function powBase(g: GradientContext): string {
  const a = g.input(0);
  const exponent = g.numberOf(g.input(1));
  if (exponent === 0) return g.mul(g.dy, 0);
  if (exponent !== undefined) return g.mul(g.dy, g.mul(g.pow(a, exponent - 1), exponent));
  const b = g.cast(g.input(1), g.typeOf(a).dtype);
  const slope = g.mul(b, g.pow(a, g.sub(b, 1)));
  // 0 * 0^-1 is not a number, the slope of a^0 is zero
  return g.mul(g.dy, g.where(g.equal(b, 0), 0, slope));
}

/** d(a^b)/db = a^b log(a), which is taken as 0 where a = 0 (PyTorch does). */
function powExponent(g: GradientContext): string {
  const a = g.input(0);
  const zero = g.equal(a, 0);
  return g.mul(g.dy, g.where(zero, 0, g.mul(g.y, g.log(g.where(zero, 1, a)))));
}

/**
 * Max and Min over any number of inputs. Inputs that tie share the gradient evenly, as in torch.maximum; against
 * a constant scalar the other input keeps all of it, as in torch.clamp, which exporters write as Max or Min.
 */
function extremum(g: GradientContext): (string | undefined)[] {
  const { dtype } = g.typeOf(g.y);
  const inputs = g.node.inputs;
  const isBound = (input: string) => g.numberOf(input) !== undefined;
  const takes = inputs.map((input) => (isBound(input) ? undefined : g.cast(g.equal(input, g.y), dtype)));
  const shares = takes.filter((take) => take !== undefined);
  const total = shares.length > 1 ? shares.reduce((sum, take) => g.add(sum, take)) : undefined;
  // where a bound alone is the extremum nobody takes anything: avoid 0 / 0
  const share = total === undefined ? g.dy : g.div(g.dy, g.max(total, 1));
  return inputs.map((input, i) => {
    const take = takes[i];
    if (!g.needs(i) || take === undefined) return undefined;
    return g.reduceTo(g.mul(share, take), g.shapeOf(input));
  });
}

/**
 * PyTorch's clamp: the gradient passes where the value is unchanged, at the bounds too; a bound that is not a constant
 * takes it where the bound is the result (the upper one where they cross). Bounds of 0 and 6 are Relu6, which
 * PyTorch gives no slope at its ends; other bounds may have been Hardtanh, which cannot be told from clamp.
 */
function clip(g: GradientContext): (string | undefined)[] {
  const below = g.hasInput(1) ? g.less(g.x, g.input(1)) : undefined;
  const above = g.hasInput(2) ? g.greater(g.x, g.input(2)) : undefined;
  const isRelu6 =
    g.hasInput(1) && g.numberOf(g.input(1)) === 0 && g.hasInput(2) && g.numberOf(g.input(2)) === 6;
  const dx = () => (isRelu6 ? g.mul(g.dy, whereBetween(g, g.y, 6, 1)) : g.where(g.equal(g.x, g.y), g.dy, 0));
  const bound = (i: number, takes: string) =>
    g.reshape(
      g.sum(g.where(takes, g.dy, 0), sortedAxes(undefined, g.rankOf(g.x)), false),
      g.shapeOf(g.input(i)),
    );
  const low = () => {
    const crossed = g.hasInput(2) ? g.greater(g.input(1), g.input(2)) : undefined;
    return bound(1, crossed === undefined ? below! : g.and(below!, g.not(crossed)));
  };
  const high = () => {
    const raised = g.hasInput(1) ? g.max(g.x, g.input(1)) : g.x;
    return bound(2, g.greater(raised, g.input(2)));
  };
  return [
    g.needs(0) ? dx() : undefined,
    below !== undefined && g.needs(1) ? low() : undefined,
    above !== undefined && g.needs(2) ? high() : undefined,
  ];
}

function where(g: GradientContext): (string | undefined)[] {
  const condition = g.input(0);
  const branch = (i: number, gradient: () => string) =>
    g.needs(i) ? g.reduceTo(gradient(), g.shapeOf(g.input(i))) : undefined;
  return [
    undefined,
    branch(1, () => g.where(condition, g.dy, 0)),
    branch(2, () => g.where(condition, 0, g.dy)),
  ];
}

function sum(g: GradientContext): (string | undefined)[] {
  return g.node.inputs.map((input, i) => (g.needs(i) ? g.reduceTo(g.dy, g.shapeOf(input)) : undefined));
}

export const arithmeticRules: RuleTable = {
  Identity: (g) => [g.dy],
  // floats of one width to another; a cast to an integer stops the gradient before it reaches a rule
  Cast: (g) => [g.cast(g.dy, g.typeOf(g.x).dtype)],
  CastLike: (g) => [g.cast(g.dy, g.typeOf(g.x).dtype), undefined],

  Add: broadcasting(
    (g) => g.dy,
    (g) => g.dy,
  ),
  Sub: broadcasting(
    (g) => g.dy,
    (g) => g.neg(g.dy),
  ),
  Mul: broadcasting(
    (g) => g.mul(g.dy, g.input(1)),
    (g) => g.mul(g.dy, g.input(0)),
  ),
  Div: broadcasting(
    (g) => g.div(g.dy, g.input(1)),
    (g) => g.neg(g.div(g.mul(g.dy, g.y), g.input(1))),
  ),
  // y = a - trunc(a / b) b (floor of integers, which have no gradient)
  Mod: broadcasting(
    (g) => g.dy,
    (g) => g.div(g.mul(g.dy, g.sub(g.y, g.input(0))), g.input(1)),
  ),
  Pow: broadcasting(powBase, powExponent),
  Sum: sum,
  Max: extremum,
  Min: extremum,
  Clip: clip,
  Where: where,

  Neg: (g) => [g.neg(g.dy)],
  Abs: scaled((g) => g.sign(g.x)),
  Reciprocal: (g) => [g.neg(g.mul(g.dy, g.mul(g.y, g.y)))],
  Sqrt: (g) => [g.div(g.mul(g.dy, 0.5), g.y)],
  Exp: scaled((g) => g.y),
  Log: (g) => [g.div(g.dy, g.x)],
  Erf: scaled((g) => g.mul(g.exp(g.neg(g.mul(g.x, g.x))), 2 / Math.sqrt(Math.PI))),

  Sin: scaled((g) => g.unary('Cos', g.x)),
  Cos: (g) => [g.neg(g.mul(g.dy, g.unary('Sin', g.x)))],
  Tan: scaled((g) => g.add(g.mul(g.y, g.y), 1)),
  Asin: (g) => [g.div(g.dy, g.sqrt(g.sub(1, g.mul(g.x, g.x))))],
  Acos: (g) => [g.neg(g.div(g.dy, g.sqrt(g.sub(1, g.mul(g.x, g.x)))))],
  Atan: (g) => [g.div(g.dy, g.add(g.mul(g.x, g.x), 1))],
  Sinh: scaled((g) => g.unary('Cosh', g.x)),
  Cosh: scaled((g) => g.unary('Sinh', g.x)),
  Asinh: (g) => [g.div(g.dy, g.sqrt(g.add(g.mul(g.x, g.x), 1)))],
  Acosh: (g) => [g.div(g.dy, g.sqrt(g.sub(g.mul(g.x, g.x), 1)))],
  Atanh: (g) => [g.div(g.dy, g.sub(1, g.mul(g.x, g.x)))],
};

/** Whether a Cast goes from a float to a float; any other has no gradient. */
export function castKeepsGradient(to: number): boolean {
  const dtype = elementType(to);
  return dtype !== undefined && isDifferentiable(dtype);
}
