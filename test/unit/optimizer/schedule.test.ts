import fc from 'fast-check';
import t from 'tap';
import { learningRateAt, scheduleFactor } from '../../../worker/optimizer/index.js';

const factors = (config: Parameters<typeof scheduleFactor>[0], total: number) =>
  Array.from({ length: total }, (_, step) => Math.round(scheduleFactor(config, step, total) * 1e6) / 1e6);

void t.test('the formulas, step by step', (t) => {
  t.same(factors({ kind: 'constant' }, 3), [1, 1, 1]);
  t.same(factors({ kind: 'constant', warmupSteps: 2 }, 4), [0.5, 1, 1, 1]);
  t.same(factors({ kind: 'linear' }, 5), [1, 0.75, 0.5, 0.25, 0]);
  t.same(factors({ kind: 'linear', warmupSteps: 1, minFactor: 0.5 }, 4), [1, 1, 0.75, 0.5]);
  t.same(factors({ kind: 'cosine' }, 5), [1, 0.853553, 0.5, 0.146447, 0]);
  t.same(factors({ kind: 'cosine', minFactor: 0.2 }, 3), [1, 0.6, 0.2]);
  t.same(factors({ kind: 'step', everySteps: 2, gamma: 0.5 }, 5), [1, 1, 0.5, 0.5, 0.25]);
  t.same(factors({ kind: 'step', everySteps: 1, gamma: 0.5, warmupSteps: 2 }, 5), [0.5, 1, 1, 0.5, 0.25]);
  t.end();
});

void t.test('without a schedule the rate stays', (t) => {
  t.equal(learningRateAt(0.3, undefined, 7, 9), 0.3);
  t.equal(learningRateAt(0.5, { kind: 'linear' }, 2, 5), 0.25);
  t.end();
});

void t.test('every factor is in [0, 1], rises in the warm-up and never after it', (t) => {
  const config = fc.record({
    kind: fc.constantFrom('constant' as const, 'linear' as const, 'cosine' as const, 'step' as const),
    warmupSteps: fc.nat({ max: 12 }),
    minFactor: fc.double({ min: 0, max: 0.99, noNaN: true }),
    everySteps: fc.integer({ min: 1, max: 5 }),
    gamma: fc.double({ min: 0.1, max: 1, noNaN: true }),
  });
  fc.assert(
    fc.property(config, fc.integer({ min: 1, max: 20 }), (config, total) => {
      for (let step = 0; step < total; step++) {
        const factor = scheduleFactor(config, step, total);
        if (factor < 0 || factor > 1) return false;
        if (step === 0) continue;
        const before = scheduleFactor(config, step - 1, total);
        if (step < config.warmupSteps ? factor <= before : factor > before) return false;
      }
      return true;
    }),
  );
  t.end();
});
