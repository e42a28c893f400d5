import t from 'tap';
import {
  attribute,
  evaluate,
  GraphBuilder,
  standardOperators,
  type Attributes,
  type Reference,
} from '../../../graph/index.js';
import { decompose } from '../../../graph/decompose/index.js';
import { Formula } from '../../../graph/formula/index.js';
import { differentiate } from '../../../graph/gradient/index.js';

const { float, ints } = attribute;

type Write = (f: Formula, ...inputs: string[]) => string;

/** For each list of numbers, the gradient of the sum of what `write` makes of them, composite operators written out. */
function slopes(write: Write, ...given: readonly (readonly number[])[]): number[][] {
  const written = new GraphBuilder(standardOperators);
  const names = given.map((values, i) =>
    written.input(`x${i}`, { dtype: 'float64', shape: [values.length] }),
  );
  const forward = decompose(written.build('forward', [write(new Formula(written), ...names)]));
  const builder = new GraphBuilder(standardOperators, forward);
  const f = new Formula(builder);
  const [y] = forward.outputs as [string];
  const found = differentiate(
    builder,
    forward.nodes,
    new Map([[y, f.filled(f.shapeOf(y), 1, 'float64')]]),
    names,
  );
  const known = new Map<string, Reference>(
    given.map((values, i) => [
      `x${i}`,
      { dtype: 'float64', shape: [values.length], data: Float64Array.from(values) },
    ]),
  );
  const results = evaluate(builder.build('backward', [...found.values()]), known);
  return names.map((name) => {
    const gradient = found.get(name);
    return gradient === undefined ? [] : [...results.get(gradient)!.data];
  });
}

const one =
  (operator: string, attributes: Attributes = {}): Write =>
  (f, ...inputs) =>
    f.one(operator, inputs, attributes);

/** Where a function has no derivative, or changes its form: what torch 1.13's autograd gives for the same function. */
const KINKS: readonly (readonly [string, Write, readonly number[], readonly number[]])[] = [
  ['relu', one('Relu'), [-1, 0, 1], [0, 0, 1]],
  ['relu6', (f, x) => f.clip(x, 0, 6), [-1, 0, 3, 6, 7], [0, 0, 1, 0, 0]],
  ['clamp', (f, x) => f.clip(x, -1, 1), [-2, -1, 0, 1, 2], [0, 1, 1, 1, 0]],
  ['clamp from below', (f, x) => f.clip(x, 0, undefined), [-2, 0, 1], [0, 1, 1]],
  ['clamp written as Max', (f, x) => f.max(x, 0), [-2, 0, 1], [0, 1, 1]],
  ['clamp written as Min', (f, x) => f.min(x, 0), [-2, 0, 1], [1, 1, 0]],
  ['hardsigmoid', one('HardSigmoid', { alpha: float(0.25) }), [-4, -2, 0, 2, 4], [0, 0, 0.25, 0, 0]],
  ['a falling hardsigmoid', one('HardSigmoid', { alpha: float(-0.5) }), [-1, 0, 1], [0, -0.5, 0]],
  ['hardswish', one('HardSwish'), [-4, -3, 0, 3, 4], [0, -0.5, 0.5, 1.5, 1]],
  ['leaky_relu', one('LeakyRelu', { alpha: float(0.25) }), [-1, 0, 1], [0.25, 0.25, 1]],
  ['elu', one('Elu', { alpha: float(2) }), [0, 1], [2, 1]],
  ['celu', one('Celu', { alpha: float(2) }), [-1, 0, 1], [Math.exp(-0.5), 1, 1]],
  ['celu with a negative alpha', one('Celu', { alpha: float(-2) }), [-1, 0, 1], [Math.exp(0.5), 1, 1]],
  ['selu', one('Selu'), [0, 1], [1.7580993408473766, 1.0507009873554805]],
  ['softsign', one('Softsign'), [-1, 0, 1], [0.25, 1, 0.25]],
  ['softshrink', one('Shrink', { bias: float(0.5) }), [-1, -0.5, 0, 0.5, 1], [1, 0, 0, 0, 1]],
  ['hardshrink', one('Shrink'), [-1, -0.5, 0, 0.5, 1], [1, 0, 0, 0, 1]],
  [
    "softshrink as torch's older exporter writes it",
    (f, x) => f.add(f.where(f.greater(x, 0.5), f.sub(x, 0.5), 0), f.where(f.less(x, -0.5), f.add(x, 0.5), 0)),
    [-1, -0.5, 0, 0.5, 1],
    [1, 0, 0, 0, 1],
  ],
  ['threshold', one('ThresholdedRelu', { alpha: float(0.5) }), [0, 0.5, 1], [0, 0, 1]],
  ['abs', one('Abs'), [-1, 0, 1], [-1, 0, 1]],
  ['amax of a tie', (f, x) => f.reduce('ReduceMax', x, [0]), [2, 2, 1], [0.5, 0.5, 0]],
  ['amin of a tie', (f, x) => f.reduce('ReduceMin', x, [0]), [2, 2, 3], [0.5, 0.5, 0]],
  ['the 1-norm of zeros', (f, x) => f.reduce('ReduceL1', x, [0]), [0, 0], [0, 0]],
  ['the 2-norm of zeros', (f, x) => f.reduce('ReduceL2', x, [0]), [0, 0], [0, 0]],
  ['sign times x', (f, x) => f.mul(f.sign(x), x), [0, 1], [0, 1]],
  ['sqrt', one('Sqrt'), [0, 4], [Infinity, 0.25]],
  ['round', (f, x) => f.add(f.unary('Round', x), x), [0.5, 1.5], [1, 1]],
  [
    'max_pool1d of a tie',
    (f, x) => f.one('MaxPool', [f.reshape(x, [1, 1, 4])], { kernel_shape: ints([2]), strides: ints([2]) }),
    [5, 5, 1, 7],
    [1, 0, 0, 1],
  ],
];

for (const [name, write, at, expected] of KINKS) {
  t.test(`${name} has the slope at its kinks that PyTorch gives it`, async (t) => {
    const [found] = slopes(write, at) as [number[]];
    t.equal(found.length, expected.length);
    found.forEach((slope, i) => {
      // attributes are float32
      const same = slope === expected[i] || Math.abs(slope - expected[i]!) < 1e-7;
      t.ok(same, `at ${at[i]!}: ${slope}, expected ${expected[i]!}`);
    });
  });
}

t.test('prelu at 0 takes the slope, and gives the slope nothing', async (t) => {
  t.same(slopes(one('PRelu'), [-2, 0, 3], [0.25]), [[0.25, 0.25, 1], [-2]]);
});

t.test('maximum and minimum share the gradient of a tie', async (t) => {
  t.same(slopes(one('Max'), [1, 2, 3], [1, 3, 2]), [
    [0.5, 0, 1],
    [0.5, 1, 0],
  ]);
  t.same(slopes(one('Min'), [1, 2, 3], [1, 3, 2]), [
    [0.5, 1, 0],
    [0.5, 0, 1],
  ]);
});

t.test("fmod's divisor gets the quotient towards zero", async (t) => {
  const fmod = one('Mod', { fmod: attribute.int(1) });
  t.same(slopes(fmod, [-7, 7, 6], [3, -3, 3]), [
    [1, 1, 1],
    [2, 2, -2],
  ]);
});
