import {
  intAttribute,
  isFloat,
  normalizeAxis,
  sizeOf,
  stridesOf,
  type Node,
} from '../../../../graph/index.js';
import { Body, CELL, joinedAxes, loop } from '../body.js';
import { known } from '../errors.js';
import { integers } from './integers.js';
import type { Kernel, KernelContext, KernelRule, KernelRules } from '../kernel.js';

/** A lane of at most this many elements is folded by one cell; a longer one in two launches. */
const LANE = 1024;

/** A fold over a lane, which starts with its first element. */
interface Fold {
  /** What an element is before it is folded. */
  readonly of?: (x: string) => string;
  readonly step: (sum: string, x: string) => string;
}

const add = (sum: string, x: string): string => `${sum} + ${x}`;
const FOLDS = {
  sum: { step: add },
  sumOfSizes: { of: (x: string) => `Math.abs(${x})`, step: add },
  sumOfSquares: { of: (x: string) => `${x} * ${x}`, step: add },
  product: { step: (product: string, x: string) => `${product} * ${x}` },
  max: { step: (best: string, x: string) => `Math.max(${best}, ${x})` },
  min: { step: (best: string, x: string) => `Math.min(${best}, ${x})` },
} satisfies Record<string, Fold>;

/** The cells that are kept, and the lane that each of them folds, over a flat value. */
interface Lanes {
  readonly kept: { readonly shape: readonly number[]; readonly strides: readonly number[] };
  readonly folded: { readonly shape: readonly number[]; readonly strides: readonly number[] };
}

function lanesOf(shape: readonly number[], axes: ReadonlySet<number>): Lanes {
  const strides = stridesOf(shape);
  const pick = (folded: boolean) => {
    const chosen = shape.map((_, axis) => axis).filter((axis) => axes.has(axis) === folded);
    return joinedAxes(
      chosen.map((axis) => shape[axis]!),
      chosen.map((axis) => strides[axis]!),
    );
  };
  return { kept: pick(false), folded: pick(true) };
}

/** What one fold reads and makes. `subtrahend` is exp'ed off: see LogSumExp. */
interface Reduction {
  readonly input: string;
  readonly output: string;
  readonly lanes: Lanes;
  readonly fold: Fold;
  /** What becomes of a folded lane. */
  readonly finish?: ((sum: string, body: Body) => string) | undefined;
  /** A value of one cell a lane: elements are e^(x - it). */
  readonly shift?: string | undefined;
}

/** One launch, or two where lanes are long: so that no cell works alone for long, and sums lose less to rounding. */
function reduce(reduction: Reduction, context: KernelContext): Kernel[] {
  const { input, output, lanes, fold, finish, shift } = reduction;
  const { kept, folded } = lanes;
  const length = sizeOf(folded.shape);
  const cells = sizeOf(kept.shape);
  const outermost = folded.shape[0] ?? 1;
  if (length <= LANE || outermost === 1) {
    return [launch({ input, output, lanes, fold, finish, shift }, context, outermost, 1)];
  }
  const part = Math.ceil(outermost / Math.min(outermost, Math.ceil(Math.sqrt(length))));
  const parts = Math.ceil(outermost / part);
  const partial = context.fresh('partial');
  const second: Lanes = {
    kept: { shape: [cells], strides: [1] },
    folded: { shape: [parts], strides: [cells] },
  };
  return [
    launch({ input, output: partial, lanes, fold, shift }, context, part, parts),
    launch({ input: partial, output, lanes: second, fold: { step: fold.step }, finish }, context, parts, 1),
  ];
}

/** Folds `part` of the outermost folded axis for each of `parts` times the kept cells, which run fastest. */
function launch(
  { input, output, lanes: { kept, folded }, fold, finish, shift }: Reduction,
  context: KernelContext,
  part: number,
  parts: number,
): Kernel {
  const body = new Body(context.backend);
  const cells = sizeOf(kept.shape);
  const [chunk, cell] = body.divide(CELL, cells, cells * parts);
  const base = body.place(kept.shape, kept.strides, 0, cell);
  const shifted = shift === undefined ? undefined : body.load(shift, cell);
  const of = (x: string): string => {
    const moved = shifted === undefined ? x : `Math.exp(${x} - ${shifted})`;
    return fold.of ? fold.of(moved) : moved;
  };
  const outermost = folded.shape[0] ?? 1;
  const start = parts === 1 ? '0' : body.integer(`${chunk} * ${part}`);
  const first = body.load(
    input,
    parts === 1 ? base : body.integer(`${base} + ${start} * ${folded.strides[0]!}`),
  );
  const total = body.fresh('s');
  body.add(`let ${total} = ${of(first)};`, 'let x = 0.5;');
  if (folded.shape.length > 0) {
    const ragged = parts > 1 && part * parts !== outermost;
    const places = folded.shape.map((_, axis) => `p${axis}`);
    body.add(integers(context.backend, ...places));
    const element = `${argumentOf(body, input)}[${places.at(-1)!}]`;
    const step = `x = ${element}; ${total} = ${fold.step(total, of('x'))};`;
    // the first element is in already: the first turn of the innermost loop, in the first turns of all others
    const skip = folded.shape.map((_, axis) => `j${axis} > 0`).join(' || ');
    let turn = folded.shape.length === 1 ? step : `if (${skip}) { ${step} }`;
    for (let axis = folded.shape.length - 1; axis >= 0; axis--) {
      const counted = axis === 0 && parts > 1 ? `(${start} + j${axis})` : `j${axis}`;
      const outer = axis === 0 ? base : places[axis - 1]!;
      turn = `${places[axis]!} = ${outer} + ${counted} * ${folded.strides[axis]!}; ${turn}`;
      if (axis === 0 && ragged) turn = `if (${start} + j0 < ${outermost}) { ${turn} }`;
      const from = folded.shape.length === 1 ? 1 : 0;
      turn = loop(context.backend, `j${axis}`, from, axis === 0 ? part : folded.shape[axis]!, turn);
    }
    body.add(turn);
  }
  const result = finish ? finish(total, body) : total;
  return {
    source: body.source(result),
    inputs: body.inputs,
    output,
    extents: [cells * parts],
    constants: {},
  };
}

/** The parameter of a value that was loaded before. */
function argumentOf(body: Body, value: string): string {
  return `a${body.inputs.indexOf(value)}`;
}

function lanesOfNode(node: Node, context: KernelContext): Lanes {
  const { shape } = context.typeOf(node.inputs[0]!);
  const given =
    (node.inputs[1] ?? '') === '' ? undefined : known(context.constantOf(node.inputs[1]!), 'axes');
  const all = shape.map((_, axis) => axis);
  const none = intAttribute(node, 'noop_with_empty_axes', 0) === 1;
  const axes =
    given && given.length > 0 ? given.map((axis) => normalizeAxis(axis, shape.length)) : none ? [] : all;
  return lanesOf(shape, new Set(axes));
}

const rule =
  (fold: Fold, finish?: (sum: string, count: number) => string): KernelRule =>
  (node, context) => {
    const lanes = lanesOfNode(node, context);
    const output = node.outputs[0]!;
    const count = sizeOf(lanes.folded.shape);
    const whole = !isFloat(context.typeOf(output).dtype);
    const end = finish
      ? (sum: string) => (whole ? `Math.trunc(${finish(sum, count)})` : finish(sum, count))
      : undefined;
    return reduce({ input: node.inputs[0]!, output, lanes, fold, ...(end && { finish: end }) }, context);
  };

/** log of the sum of e^(x - max), plus max: overflows for no x. */
const logSumExp: KernelRule = (node, context) => {
  const lanes = lanesOfNode(node, context);
  const [input, output] = [node.inputs[0]!, node.outputs[0]!];
  const largest = context.fresh('largest');
  return [
    ...reduce({ input, output: largest, lanes, fold: FOLDS.max }, context),
    ...reduce(
      {
        input,
        output,
        lanes,
        fold: FOLDS.sum,
        shift: largest,
        finish: (sum, body) => `Math.log(${sum}) + ${body.load(largest, CELL)}`,
      },
      context,
    ),
  ];
};

/** The place of the best element of each lane: the first of equals, or the last. */
const best =
  (better: string): KernelRule =>
  (node, context) => {
    const { shape } = context.typeOf(node.inputs[0]!);
    const axis = normalizeAxis(intAttribute(node, 'axis', 0), shape.length);
    const { kept } = lanesOf(shape, new Set([axis]));
    const test = intAttribute(node, 'select_last_index', 0) === 1 ? `${better}=` : better;
    const body = new Body(context.backend);
    const base = body.place(kept.shape, kept.strides);
    const turn = `x = a0[${base} + j * ${stridesOf(shape)[axis]!}]; if (x ${test} best) { best = x; at = j; }`;
    body.add(
      `let best = ${body.load(node.inputs[0]!, base)};`,
      'let at = 0.5; at = 0; let x = 0.5;',
      loop(context.backend, 'j', 1, shape[axis]!, turn),
    );
    return [
      {
        source: body.source('at'),
        inputs: body.inputs,
        output: node.outputs[0]!,
        extents: [sizeOf(kept.shape)],
        constants: {},
      },
    ];
  };

/** The sum of all elements up to each along an axis, anew for every cell. */
const cumSum: KernelRule = (node, context) => {
  const { shape } = context.typeOf(node.inputs[0]!);
  const axis = normalizeAxis(known(context.constantOf(node.inputs[1]!), 'axis')[0]!, shape.length);
  const length = shape[axis]!;
  const inner = sizeOf(shape.slice(axis + 1));
  const body = new Body(context.backend);
  const [outer, at, within] = body.coordinates([sizeOf(shape) / (length * inner), length, inner]);
  const base = body.integer(`${outer!} * ${length * inner} + ${within!}`);
  const side = intAttribute(node, 'reverse', 0) === 1 ? '>' : '<';
  const test = intAttribute(node, 'exclusive', 0) === 1 ? side : `${side}=`;
  body.load(node.inputs[0]!, base);
  body.add(
    'let total = 0.5; total = 0;',
    loop(
      context.backend,
      'j',
      0,
      length,
      `if (j ${test} ${at!}) { total = total + a0[${base} + j * ${inner}]; }`,
    ),
  );
  const extents = [sizeOf(shape)];
  return [
    { source: body.source('total'), inputs: body.inputs, output: node.outputs[0]!, extents, constants: {} },
  ];
};

export const reductionKernels: KernelRules = {
  ArgMax: best('>'),
  ArgMin: best('<'),
  CumSum: cumSum,
  ReduceL1: rule(FOLDS.sumOfSizes),
  ReduceL2: rule(FOLDS.sumOfSquares, (sum) => `Math.sqrt(${sum})`),
  ReduceLogSum: rule(FOLDS.sum, (sum) => `Math.log(${sum})`),
  ReduceLogSumExp: logSumExp,
  ReduceMax: rule(FOLDS.max),
  ReduceMean: rule(FOLDS.sum, (sum, count) => `(${sum} / ${count})`),
  ReduceMin: rule(FOLDS.min),
  ReduceProd: rule(FOLDS.product),
  ReduceSum: rule(FOLDS.sum),
  ReduceSumSquare: rule(FOLDS.sumOfSquares),
};
