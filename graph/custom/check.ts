import { Random, type Seconds } from '../../base/index.js';
import { differentiate } from '../gradient/index.js';
import { GraphBuilder } from '../ir/builder.js';
import type { Attributes, TypedGraph } from '../ir/graph.js';
import { sizeOf, type TensorType } from '../ir/tensor.js';
import { standardOperators, type Reference } from '../operators/index.js';
import { evaluate } from '../reference/index.js';
import { titleOf, type CustomOperator } from './definition.js';
import { OperatorError } from './errors.js';
import { withCustom } from './node.js';

/** How an operator is used: what its gradient is checked for. */
export interface OperatorUse {
  readonly operator: CustomOperator;
  /** Of each input. */
  readonly shapes: readonly (readonly number[])[];
  readonly attributes: Attributes;
}

/** An element at which a gradient was compared. */
export interface CheckedElement {
  readonly input: string;
  /** Row-major place. */
  readonly index: number;
  readonly analytic: number;
  readonly numeric: number;
}

const STEP = 1e-4;
/** Of the larger of both, and of 1. Differences of h = 1e-4 in float64 are good for about 1e-8 where an operator is smooth. */
const TOLERANCE = 1e-5;
const MOST_ELEMENTS = 24;
const FEWEST_ELEMENTS = 3;
/** Cells that may be computed for one use. */
const CELLS = 2_000_000;
/** After this long no more elements are compared than must be: cells with long loops take their time. */
const ENOUGH: Seconds = 3;

/**
 * Compares the gradient of an operator with central differences, in float64, at random values from a seed: the largest
 * difference is told. All inputs with a gradient are checked, at some of their elements.
 * @returns what was compared
 * @throws OperatorError naming input, element, and both numbers; what the kernels throw
 */
export function checkOperator(
  { operator, shapes, attributes }: OperatorUse,
  seed = 0,
  now: () => Seconds = () => performance.now() / 1000,
): readonly CheckedElement[] {
  const start = now();
  const title = titleOf(operator);
  const random = new Random(seed);
  const types = shapes.map((shape): TensorType => ({ dtype: 'float32', shape }));
  const { graph, gradients } = gradientGraph(operator, types, attributes);
  const values = new Map(
    operator.inputs.map((input, i) => [
      input,
      drawn(types[i]!, () => elementOf(random, operator.ranges[input])),
    ]),
  );
  const forward = { ...graph, outputs: ['y'], nodes: graph.nodes.slice(0, 1) };
  const yType = graph.types.get('y')!;
  const dy = drawn(yType, () => random.normal());
  const found = evaluate(graph, new Map([...values, ['dy', dy]]));
  const y = found.get('y')!.data;
  if (!y.every(Number.isFinite))
    throw new OperatorError(
      title,
      'forward gives infinities or no numbers at random values; say with ranges: { INPUT: [from, to] } what it is for',
    );
  const compared: CheckedElement[] = [];
  const affordable = Math.floor(CELLS / (2 * Math.max(1, sizeOf(yType.shape)) * Math.max(1, gradients.size)));
  for (const [input, gradient] of gradients) {
    const { data } = values.get(input)!;
    const analytic = found.get(gradient)!.data;
    const count = Math.min(data.length, Math.max(FEWEST_ELEMENTS, Math.min(MOST_ELEMENTS, affordable)));
    for (const [at, index] of random
      .shuffle(Uint32Array.from(data, (_, i) => i))
      .subarray(0, count)
      .entries()) {
      if (at >= FEWEST_ELEMENTS && now() - start > ENOUGH) break;
      const moved = (offset: number) => {
        const value: Reference = { ...values.get(input)!, data: data.slice() };
        value.data[index]! += offset;
        const all = new Map([...values, ['dy', dy] as const, [input, value] as const]);
        return evaluate(forward, all).get('y')!.data;
      };
      const [above, below] = [moved(STEP), moved(-STEP)];
      const numeric = dy.data.reduce(
        (sum, weight, i) => sum + (weight * (above[i]! - below[i]!)) / (2 * STEP),
        0,
      );
      compared.push({ input, index, analytic: analytic[index]!, numeric });
    }
  }
  const worst = compared.find(({ analytic, numeric }) => !agrees(analytic, numeric));
  if (worst) {
    const { input, index, analytic, numeric } = worst;
    throw new OperatorError(
      title,
      `gradient of ${input}: at element ${index} of [${shapes[operator.inputs.indexOf(input)]!.join(', ')}] the kernel gives ` +
        `${analytic.toPrecision(6)}, and differences of the forward kernel give ${numeric.toPrecision(6)}; both should be equal ` +
        `(where the operator is not smooth, say with ranges: { ${input}: [from, to] } where it is)`,
      { input, index, analytic, numeric },
    );
  }
  return compared;
}

function agrees(analytic: number, numeric: number): boolean {
  return Math.abs(analytic - numeric) <= TOLERANCE * Math.max(1, Math.abs(analytic), Math.abs(numeric));
}

/** The operator alone, with the gradients of its inputs from dy. */
function gradientGraph(
  operator: CustomOperator,
  types: readonly TensorType[],
  attributes: Attributes,
): { readonly graph: TypedGraph; readonly gradients: ReadonlyMap<string, string> } {
  const builder = new GraphBuilder(standardOperators);
  operator.inputs.forEach((input, i) => builder.input(input, types[i]!));
  const [y] = builder.add(
    operator.name,
    operator.inputs,
    withCustom(attributes, { operator, part: 'forward' }),
    {
      domain: operator.domain,
      outputs: ['y'],
    },
  );
  const forward = builder.build('forward', [y!]);
  builder.input('dy', builder.typeOf(y!));
  const smooth = operator.inputs.filter((_, i) => operator.gradients[i]!.kind !== 'none');
  const gradients = differentiate(builder, forward.nodes, new Map([[y!, 'dy']]), smooth);
  return { graph: builder.build('check', [y!, ...gradients.values()]), gradients };
}

function drawn({ dtype, shape }: TensorType, next: () => number): Reference {
  return { dtype, shape, data: Float64Array.from({ length: sizeOf(shape) }, next) };
}

function elementOf(random: Random, range: readonly [number, number] | undefined): number {
  return range ? range[0] + (range[1] - range[0]) * random.uniform() : random.normal();
}
