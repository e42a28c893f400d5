import t from 'tap';
import {
  attribute,
  evaluate,
  GraphBuilder,
  int64s,
  sizeOf,
  standardOperators,
  tensorOf,
  toReference,
  type Attributes,
  type Tensor,
} from '../../../graph/index.js';
import { decompose } from '../../../graph/decompose/index.js';
import { Formula } from '../../../graph/formula/index.js';
import { differentiate } from '../../../graph/gradient/index.js';

const { int, ints, string } = attribute;
const vector = (...values: number[]): Tensor => tensorOf('float64', [values.length], values);
const row = (...values: number[]): Tensor => tensorOf('float64', [1, 1, values.length], values);

interface Case {
  readonly what: string;
  readonly operator: string;
  /** Floats are differentiated by; integers are constants. */
  readonly operands: readonly (Tensor | undefined)[];
  readonly attributes?: Attributes;
  /** Of sum(k * y_k), k counted from 1, by each float operand: numbers that PyTorch 1.13 gave. */
  readonly gradients: readonly (readonly number[])[];
}

const scatter = (reduction: string): Attributes => ({ axis: int(0), reduction: string(reduction) });
const places = int64s([0, 0, 2]);

/** Where an operator has a kink, a tie or a zero that a formula could stumble over. */
const CASES: readonly Case[] = [
  {
    what: 'a product with one zero',
    operator: 'ReduceProd',
    operands: [vector(2, 0, 3)],
    gradients: [[0, 6, 0]],
  },
  {
    what: 'a product with two zeros',
    operator: 'ReduceProd',
    operands: [vector(0, 0, 3)],
    gradients: [[0, 0, 0]],
  },
  {
    what: 'factors scattered',
    operator: 'ScatterElements',
    operands: [vector(2, 5, 0), places, vector(3, 2, 0)],
    attributes: scatter('mul'),
    gradients: [
      [6, 2, 0],
      [4, 6, 0],
    ],
  },
  {
    what: 'factors scattered, some zero',
    operator: 'ScatterElements',
    operands: [vector(2, 5, 4), places, vector(0, 3, 0)],
    attributes: scatter('mul'),
    gradients: [
      [0, 2, 0],
      [6, 0, 12],
    ],
  },
  {
    what: 'a zero multiplied by a zero',
    operator: 'ScatterElements',
    operands: [vector(0, 5, 4), places, vector(0, 3, 7)],
    attributes: scatter('mul'),
    gradients: [
      [0, 2, 21],
      [0, 0, 12],
    ],
  },
  {
    what: 'the largest scattered, with ties',
    operator: 'ScatterElements',
    operands: [vector(2, 5, 4), places, vector(2, 2, 4)],
    attributes: scatter('max'),
    gradients: [
      [1 / 3, 2, 1.5],
      [1 / 3, 1 / 3, 1.5],
    ],
  },
  {
    what: 'the smallest scattered, with ties',
    operator: 'ScatterElements',
    operands: [vector(2, 5, 0), places, vector(3, 2, 0)],
    attributes: scatter('min'),
    gradients: [
      [0.5, 2, 1.5],
      [0, 0.5, 1.5],
    ],
  },
  {
    what: 'overwritten elements',
    operator: 'ScatterND',
    operands: [vector(1, 2, 3), tensorOf('int64', [2, 1], [2, 0]), vector(7, 8)],
    gradients: [
      [0, 2, 0],
      [3, 1],
    ],
  },
  {
    what: 'the largest two, of which one comes twice',
    operator: 'TopK',
    operands: [vector(1, 5, 3, 5), int64s([2])],
    gradients: [[0, 1, 0, 2]],
  },
  {
    what: 'a maximum that comes twice',
    operator: 'ReduceMax',
    operands: [vector(1, 3, 3)],
    gradients: [[0, 0.5, 0.5]],
  },
  {
    what: 'reflected padding',
    operator: 'Pad',
    operands: [vector(1, 2, 3), int64s([2, 1])],
    attributes: { mode: string('reflect') },
    gradients: [[3, 12, 6]],
  },
  {
    what: 'padding with the edge',
    operator: 'Pad',
    operands: [vector(1, 2, 3), int64s([2, 1])],
    attributes: { mode: string('edge') },
    gradients: [[6, 4, 11]],
  },
  {
    what: 'circular padding',
    operator: 'Pad',
    operands: [vector(1, 2, 3), int64s([2, 1])],
    attributes: { mode: string('wrap') },
    gradients: [[9, 5, 7]],
  },
  {
    what: 'padding that removes on one side',
    operator: 'Pad',
    operands: [vector(1, 2, 3), int64s([-1, 2])],
    gradients: [[0, 1, 2]],
  },
  {
    what: 'running sums',
    operator: 'CumSum',
    operands: [vector(1, 2, 3), int64s([0])],
    gradients: [[6, 5, 3]],
  },
  {
    what: 'bounds that are learned',
    operator: 'Clip',
    operands: [vector(-2, -1, 0, 1, 2), vector(-1), vector(1)],
    gradients: [[0, 2, 3, 4, 0], [1], [5]],
  },
  {
    what: 'learned bounds that cross',
    operator: 'Clip',
    operands: [vector(-2, 0, 2, 5), vector(2), vector(1)],
    gradients: [[0, 0, 0, 0], [0], [10]],
  },
  {
    what: 'a norm of nothing but zeros',
    operator: 'LpPool',
    operands: [row(0, 0, 3, 4)],
    attributes: { kernel_shape: ints([2]), p: int(2) },
    gradients: [[0, 0, 3.8, 2.4]],
  },
  {
    what: 'a nearest element that comes a varying number of times',
    operator: 'Resize',
    operands: [row(1, 2, 3), undefined, undefined, int64s([1, 1, 5])],
    attributes: { coordinate_transformation_mode: string('asymmetric'), nearest_mode: string('floor') },
    gradients: [[3, 7, 5]],
  },
];

for (const { what, operator, operands, attributes, gradients } of CASES) {
  t.test(`${operator} of ${what} has PyTorch's gradient`, (t) => {
    const forward = new GraphBuilder(standardOperators);
    const floats = new Map(
      operands.flatMap((tensor, i) => (tensor?.dtype === 'float64' ? [[`x${i}`, tensor] as const] : [])),
    );
    const inputs = operands.map((tensor, i) => {
      if (!tensor) return '';
      return floats.has(`x${i}`) ? forward.input(`x${i}`, tensor) : forward.constant(tensor);
    });
    const lowered = decompose(forward.build('forward', forward.add(operator, inputs, attributes)));
    const builder = new GraphBuilder(standardOperators, lowered);
    const f = new Formula(builder);
    const y = lowered.outputs[0]!;
    const shape = f.shapeOf(y);
    const counted = Array.from({ length: sizeOf(shape) }, (_, k) => k + 1);
    const seeds = new Map([[y, f.constant('float64', shape, counted)]]);
    const found = differentiate(builder, lowered.nodes, seeds, floats.keys());
    const values = new Map([...floats].map(([name, tensor]) => [name, toReference(tensor)]));
    const results = evaluate(builder.build('backward', [...found.values()]), values);
    [...floats.keys()].forEach((name, i) => {
      const gradient = results.get(found.get(name)!)!;
      gradient.data.forEach((number, at) => {
        t.ok(Math.abs(number - gradients[i]![at]!) < 1e-12, `${name}[${at}]: ${number}`);
      });
    });
    t.end();
  });
}
