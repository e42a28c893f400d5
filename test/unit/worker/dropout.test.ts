import t from 'tap';
import { fillDropoutMask } from '../../../worker/run/index.js';

t.test('a sample’s mask is the same however the batch is shared', (t) => {
  const whole = new Float32Array(8 * 50);
  const draw = { seed: 3, step: 7, index: 1, ratio: 0.25 };
  fillDropoutMask(whole, 8, { ...draw, firstSample: 0 });
  const part = new Float32Array(3 * 50);
  fillDropoutMask(part, 3, { ...draw, firstSample: 5 });
  t.same([...part], [...whole.subarray(5 * 50)]);
  t.end();
});

t.test('drops its share and keeps the mean', (t) => {
  const mask = new Float32Array(40_000);
  fillDropoutMask(mask, 4, { seed: 1, step: 0, index: 0, firstSample: 0, ratio: 0.3 });
  const dropped = mask.filter((value) => value === 0).length / mask.length;
  const mean = mask.reduce((sum, value) => sum + value, 0) / mask.length;
  t.ok(Math.abs(dropped - 0.3) < 0.01, `dropped ${dropped}`);
  t.ok(Math.abs(mean - 1) < 0.02, `mean ${mean}`);
  t.end();
});

t.test('the same seed draws the same; another seed, step, mask or sample draws anew', (t) => {
  const draw = { seed: 1, step: 4, index: 2, firstSample: 8, ratio: 0.5 };
  const maskOf = (change: Partial<typeof draw> = {}) => {
    const mask = new Float32Array(2000);
    fillDropoutMask(mask, 1, { ...draw, ...change });
    return mask;
  };
  const first = maskOf();
  t.same(maskOf(), first);
  for (const change of [{ seed: 2 }, { step: 5 }, { index: 3 }, { firstSample: 9 }]) {
    const other = maskOf(change);
    const equal = other.filter((value, i) => value === first[i]).length / other.length;
    // independent masks of ratio 1/2 agree in half of their places, up to 5 standard deviations
    t.ok(Math.abs(equal - 0.5) < 5 * Math.sqrt(0.25 / other.length), `${JSON.stringify(change)}: ${equal}`);
  }
  t.end();
});

t.test('ranks of one step have different masks: each sample has its own', (t) => {
  const draw = { seed: 7, step: 0, index: 0, ratio: 0.5 };
  const ranks = [0, 3, 6].map((firstSample) => {
    const mask = new Float32Array(3 * 64);
    fillDropoutMask(mask, 3, { ...draw, firstSample });
    return mask;
  });
  const rows = ranks.flatMap((mask) =>
    [0, 1, 2].map((row) => mask.subarray(64 * row, 64 * (row + 1)).join()),
  );
  t.equal(new Set(rows).size, 9);
  t.end();
});
