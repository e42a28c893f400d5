import fc from 'fast-check';
import t from 'tap';
import { attributes, broadcastable, dims, operand } from './arbitrary.js';
import { gradientError, type Case, type Operand } from './check.js';

const RUNS = 12;
const TOLERANCE = 1e-6;

function holds(cases: fc.Arbitrary<Case>): void {
  fc.assert(
    fc.property(cases, (one) => gradientError(one) < TOLERANCE),
    { numRuns: RUNS },
  );
}

const unary: readonly (readonly [string, number?, number?])[] = [
  ...(
    ['Abs', 'Neg', 'Exp', 'Identity', 'Erf', 'Sin', 'Cos', 'Relu', 'Sigmoid', 'Tanh', 'Softplus'] as const
  ).map((name) => [name] as const),
  ['Log', 0.5, 3],
  ['Sqrt', 0.5, 3],
  ['Reciprocal', 0.5, 3],
];

for (const [operator, low = -2, high = 2] of unary) {
  t.test(operator, async () => {
    holds(dims(3).chain((shape) => operand(shape, low, high).map((x) => ({ operator, operands: [x] }))));
  });
}

const alpha = fc.double({ min: 0.1, max: 1.5, noNaN: true });
for (const operator of ['LeakyRelu', 'Elu']) {
  t.test(`${operator} with any alpha`, async () => {
    holds(
      fc.record({ x: dims(2).chain((shape) => operand(shape)), alpha }).map(({ x, alpha: a }) => ({
        operator,
        operands: [x],
        attributes: attributes({ alpha: { float: a } }),
      })),
    );
  });
}

for (const approximate of ['none', 'tanh']) {
  t.test(`Gelu, ${approximate}`, async () => {
    holds(
      dims(2)
        .chain((shape) => operand(shape, -3, 3))
        .map((x) => ({ operator: 'Gelu', operands: [x], attributes: attributes({ approximate }) })),
    );
  });
}

/** Two operands whose shapes broadcast with each other, either way round. */
function pair(low: number, high: number): fc.Arbitrary<[Operand, Operand]> {
  return dims(3).chain((shape) =>
    fc
      .tuple(broadcastable(shape), broadcastable(shape))
      .chain(([a, b]) => fc.tuple(operand(a, low, high), operand(b, low, high))),
  );
}

for (const operator of ['Add', 'Sub', 'Mul', 'Max', 'Min']) {
  t.test(`${operator} broadcasts`, async () => {
    // the second operand is offset, so that no extremum is near a tie
    holds(
      pair(-2, 2).map(([a, b]) => ({
        operator,
        operands: [a, { ...b, values: b.values.map((value) => Math.floor(value) + 0.003) }],
      })),
    );
  });
}
for (const operator of ['Div', 'Pow']) {
  t.test(`${operator} broadcasts`, async () => {
    holds(pair(0.6, 2).map((operands) => ({ operator, operands })));
  });
}
{
  const operator = 'Sum';
  t.test('Sum of several', async () => {
    holds(fc.tuple(pair(-2, 2), operand([])).map(([[a, b], c]) => ({ operator, operands: [a, b, c] })));
  });
}

t.test('Pow with a constant exponent, negative bases too', async () => {
  holds(
    fc.tuple(operand([4]), fc.constantFrom(0, 1, 2, 3, -1)).map(([x, exponent]) => ({
      operator: 'Pow',
      operands: [x, { shape: [], values: [exponent], dtype: 'float64' as const, constant: true }],
    })),
  );
});

t.test('Clip with either bound or none', async () => {
  const bound = (value: number): fc.Arbitrary<Operand | undefined> =>
    fc.constantFrom(undefined, { shape: [], values: [value], dtype: 'float64' as const, constant: true });
  holds(
    fc
      .tuple(operand([6]), bound(-1.005), bound(0.995))
      .map(([x, low, high]) => ({ operator: 'Clip', operands: [x, low, high] })),
  );
});

t.test('Where broadcasts all three', async () => {
  holds(
    dims(3).chain((shape) =>
      fc.tuple(broadcastable(shape), broadcastable(shape), broadcastable(shape)).chain(([c, a, b]) =>
        fc.tuple(operand(c), operand(a), operand(b)).map(([condition, x, y]) => ({
          operator: 'Where',
          operands: [
            { ...condition, values: condition.values.map((v) => (v > 0 ? 1 : 0)), dtype: 'bool' as const },
            x,
            y,
          ],
        })),
      ),
    ),
  );
});

for (const operator of ['Softmax', 'LogSoftmax']) {
  t.test(`${operator} along any axis`, async () => {
    holds(
      dims(3, 3, 1).chain((shape) =>
        fc
          .tuple(operand(shape), fc.integer({ min: -shape.length, max: shape.length - 1 }))
          .map(([x, axis]) => ({ operator, operands: [x], attributes: attributes({ axis }) })),
      ),
    );
  });
}
