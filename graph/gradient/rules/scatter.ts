import { attribute, intAttribute, stringAttribute } from '../../ir/graph.js';
import type { GradientContext, GradientRule, RuleTable } from '../context.js';

/** The gradients of data and updates; each is written only where it is needed. */
interface Pair {
  readonly data: () => string;
  readonly updates: () => string;
}

/** Means of ScatterElements at the node's indices. */
interface Scatter {
  /** A tensor like data, with `updates` put in or combined. */
  readonly put: (data: string, updates: string, reduction?: string) => string;
  /** What a tensor like data has where the updates go. */
  readonly at: (data: string) => string;
}

/**
 * ScatterElements. What torch.scatter and scatter_reduce(include_self=True) do: an overwritten element has no
 * gradient; a product is differentiated by leaving the factor out, so that zeros do no harm; those that tie for an
 * extremum share evenly. Where several updates overwrite one element the result, and so the gradient, is undefined.
 */
function scatterElements(g: GradientContext): (string | undefined)[] {
  const axis = attribute.int(intAttribute(g.node, 'axis', 0));
  const indices = g.input(1);
  const scatter: Scatter = {
    put: (data, updates, reduction = 'none') =>
      g.one('ScatterElements', [data, indices, updates], { axis, reduction: attribute.string(reduction) }),
    at: (data) => g.one('GatherElements', [data, indices], { axis }),
  };
  const pair = REDUCTIONS[stringAttribute(g.node, 'reduction', 'none')]!(g, scatter);
  return [g.needs(0) ? pair.data() : undefined, undefined, g.needs(2) ? pair.updates() : undefined];
}

const REDUCTIONS: Readonly<Record<string, (g: GradientContext, scatter: Scatter) => Pair>> = {
  none: (g, { put, at }) => ({
    data: () => put(g.dy, g.zeros(g.typeOf(g.input(2)))),
    updates: () => at(g.dy),
  }),
  add: (g, { at }) => ({ data: () => g.dy, updates: () => at(g.dy) }),
  mul: product,
  max: extremum,
  min: extremum,
};

function product(g: GradientContext, { put, at }: Scatter): Pair {
  const updates = g.input(2);
  const { dtype } = g.typeOf(updates);
  const ones = () => g.expandTo(g.scalar(1, dtype), g.shapeOf(g.x));
  return {
    data: () => g.mul(g.dy, put(ones(), updates, 'mul')),
    updates: () => {
      const isZero = g.equal(updates, 0);
      const zero = g.cast(isZero, dtype);
      const factors = g.where(isZero, 1, updates);
      // of the other factors: how many are zero, and the product of those that are not
      const otherZeros = g.sub(at(put(g.zeros(g.typeOf(g.x)), zero, 'add')), zero);
      const rest = g.div(at(put(g.x, factors, 'mul')), factors);
      return g.mul(at(g.dy), g.where(g.greater(otherZeros, 0.5), 0, rest));
    },
  };
}

function extremum(g: GradientContext, { put, at }: Scatter): Pair {
  const { dtype } = g.typeOf(g.x);
  const data = g.cast(g.equal(g.x, g.y), dtype);
  const updates = g.cast(g.equal(g.input(2), at(g.y)), dtype);
  const share = g.div(g.dy, put(data, updates, 'add'));
  return { data: () => g.mul(data, share), updates: () => g.mul(updates, at(share)) };
}

/** The values' gradient goes back to where they were taken from; each place is taken once. */
const topK: GradientRule = (g) => {
  if (g.gradients[0] === undefined) return [undefined, undefined];
  // a model that uses the values alone gives the places no name
  const places = g.hasOutput(1)
    ? g.output(1)
    : g.builder.add('TopK', [g.x, g.input(1)], g.node.attributes, { outputs: 2 })[1]!;
  const axis = attribute.int(intAttribute(g.node, 'axis', -1));
  return [g.one('ScatterElements', [g.zeros(g.typeOf(g.x)), places, g.dy], { axis }), undefined];
};

/** Y = off + (on - off) hot, where hot has the shape of Y: what is hot sums to on, all else to off. */
function oneHot(g: GradientContext): (string | undefined)[] {
  if (!g.needs(2)) return [];
  const values = g.input(2);
  const { dtype } = g.typeOf(values);
  const share = (weights: readonly number[]) => {
    const hot = g.one('OneHot', [g.input(0), g.input(1), g.constant(dtype, [2], weights)], g.node.attributes);
    const axes = g.shapeOf(hot).map((_, axis) => axis);
    return g.reshape(g.sum(g.mul(g.dy, hot), axes, false), [1]);
  };
  return [undefined, undefined, g.reshape(g.concat([share([1, 0]), share([0, 1])], 0), g.shapeOf(values))];
}

/** Reversing twice changes nothing. */
const reverseSequence: GradientRule = (g) => [
  g.one('ReverseSequence', [g.dy, g.input(1)], g.node.attributes),
  undefined,
];

export const scatterRules: RuleTable = {
  ScatterElements: scatterElements,
  TopK: topK,
  OneHot: oneHot,
  ReverseSequence: reverseSequence,
};
