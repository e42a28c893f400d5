import fc from 'fast-check';
import t from 'tap';
import {
  evaluate,
  GraphBuilder,
  LossError,
  standardOperators,
  targetTypeOf,
  type LossKind,
  type Reference,
} from '../../../graph/index.js';
import { Formula } from '../../../graph/formula/index.js';
import { attachLoss } from '../../../graph/loss/index.js';

interface Outcome {
  readonly loss: number;
  readonly gradient: readonly number[];
}

function run(
  kind: LossKind,
  shape: readonly number[],
  output: readonly number[],
  target: { shape: readonly number[]; values: readonly number[] },
  scale = 1,
): Outcome {
  const builder = new GraphBuilder(standardOperators);
  const f = new Formula(builder);
  const y = builder.input('y', { dtype: 'float64', shape });
  const attached = attachLoss(f, kind, y, { target: 'target', targetShape: target.shape });
  const seed = builder.input('scale', { dtype: 'float64', shape: [] });
  const gradient = attached.gradient(seed);
  const values = new Map<string, Reference>([
    ['y', { dtype: 'float64', shape, data: Float64Array.from(output) }],
    ['target', { ...attached.target.type, data: Float64Array.from(target.values) }],
    ['scale', { dtype: 'float64', shape: [], data: Float64Array.of(scale) }],
  ]);
  const results = evaluate(builder.build('loss', [attached.loss, gradient]), values);
  return { loss: results.get(attached.loss)!.data[0]!, gradient: [...results.get(gradient)!.data] };
}

const close = (a: number, b: number) => Math.abs(a - b) <= 1e-9 * Math.max(1, Math.abs(b));

/** Textbook formulas, one element at a time. */
const formulas: Readonly<Record<Exclude<LossKind, 'cross_entropy'>, (y: number, t: number) => number>> = {
  mse: (y, t) => (y - t) ** 2,
  l1: (y, t) => Math.abs(y - t),
  huber: (y, t) => (Math.abs(y - t) <= 1 ? (y - t) ** 2 / 2 : Math.abs(y - t) - 0.5),
  binary_cross_entropy_with_logits: (y, t) =>
    -t * Math.log(1 / (1 + Math.exp(-y))) - (1 - t) * Math.log(1 - 1 / (1 + Math.exp(-y))),
};

const number = fc.double({ min: -4, max: 4, noNaN: true });

for (const [kind, formula] of Object.entries(formulas) as [
  Exclude<LossKind, 'cross_entropy'>,
  (y: number, t: number) => number,
][]) {
  t.test(`${kind} is the mean of its formula, and its gradient the slope`, async () => {
    const pairs = fc.array(fc.tuple(number, number), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(pairs, (rows) => {
        const y = rows.map(([output]) => output);
        const target = rows.map(([output, other]) => {
          if (kind === 'binary_cross_entropy_with_logits') return (other + 4) / 8;
          // away from the kinks
          const distance = Math.abs(output - other);
          return distance < 0.01 || Math.abs(distance - 1) < 0.01 ? other + 0.5 : other;
        });
        const shape = [rows.length, 1];
        const { loss, gradient } = run(kind, shape, y, { shape: [rows.length], values: target }, 0.5);
        const wanted = y.reduce((sum, value, i) => sum + formula(value, target[i]!), 0) / y.length;
        const slopes = y.map(
          (value, i) => (formula(value + 1e-6, target[i]!) - formula(value - 1e-6, target[i]!)) / 2e-6,
        );
        return (
          close(loss, wanted) &&
          slopes.every((slope, i) => Math.abs(gradient[i]! - (0.5 * slope) / y.length) < 1e-6)
        );
      }),
    );
  });
}

t.test('cross-entropy: the mean over targets that count, whatever the layout', async () => {
  const cases = fc.record({
    rows: fc.integer({ min: 1, max: 3 }),
    places: fc.integer({ min: 1, max: 3 }),
    logits: fc.array(number, { minLength: 45, maxLength: 45 }),
    targets: fc.array(fc.constantFrom(0, 1, 2, 3, 4, -100), { minLength: 9, maxLength: 9 }),
  });
  fc.assert(
    fc.property(cases, ({ rows, places, logits, targets }) => {
      const classes = 5;
      const count = rows * places;
      const last = logits.slice(0, count * classes);
      const ids = targets.slice(0, count);
      // the same logits as [rows, classes, places]
      const second = last.map((_, at) => {
        const [row, rest] = [Math.floor(at / (classes * places)), at % (classes * places)];
        const [id, place] = [Math.floor(rest / places), rest % places];
        return last[(row * places + place) * classes + id]!;
      });
      const target = { shape: [rows, places], values: ids };
      const a = run('cross_entropy', [rows, places, classes], last, target, 2);
      const counted = ids.filter((id) => id !== -100).length;
      let wanted = 0;
      const slopes = last.map(() => 0);
      ids.forEach((id, at) => {
        if (id === -100) return;
        const row = last.slice(at * classes, (at + 1) * classes);
        const total = row.reduce((sum, value) => sum + Math.exp(value), 0);
        wanted -= (row[id]! - Math.log(total)) / counted;
        row.forEach((value, i) => {
          slopes[at * classes + i] = (2 * (Math.exp(value) / total - (i === id ? 1 : 0))) / counted;
        });
      });
      const good = close(a.loss, wanted) && slopes.every((slope, i) => close(a.gradient[i]!, slope));
      // where the two readings agree in shape the last axis wins: only compare where they do not
      if (classes === places) return good;
      const b = run('cross_entropy', [rows, classes, places], second, target, 2);
      return good && close(b.loss, wanted);
    }),
    { numRuns: 40 },
  );
});

t.test('large logits neither overflow nor lose the loss', async (t) => {
  const entropy = run('cross_entropy', [1, 2], [1000, -1000], { shape: [1], values: [1] });
  t.equal(entropy.loss, 2000);
  t.same(entropy.gradient, [1, -1]);
  const binary = run('binary_cross_entropy_with_logits', [2], [-800, 800], { shape: [2], values: [1, 1] });
  t.equal(binary.loss, 400);
});

t.test('a batch of ignored targets has loss 0 and no gradient', async (t) => {
  const { loss, gradient } = run('cross_entropy', [2, 3], [1, 2, 3, 4, 5, 6], {
    shape: [2],
    values: [-100, -100],
  });
  t.ok(loss === 0);
  t.ok(gradient.every((value) => value === 0));
});

t.test('targets that do not fit are refused', async (t) => {
  const output = { dtype: 'float32', shape: [4, 10] } as const;
  t.same(targetTypeOf('cross_entropy', output), { dtype: 'int64', shape: [4] });
  t.same(targetTypeOf('cross_entropy', { dtype: 'float32', shape: [4, 10, 7] }, [4, 7]), {
    dtype: 'int64',
    shape: [4, 7],
  });
  t.same(targetTypeOf('mse', output), output);
  t.throws(() => targetTypeOf('cross_entropy', output, [4, 10]), {
    message: /class ids of shape \[4\].*\[4, 10\]/,
  });
  t.throws(() => targetTypeOf('cross_entropy', { dtype: 'float32', shape: [4] }), LossError);
  t.throws(() => targetTypeOf('mse', output, [4]), { message: /element by element/ });
  t.throws(() => targetTypeOf('mse', { dtype: 'int64', shape: [4] }), { message: /float output/ });
});
