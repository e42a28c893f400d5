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
  fillDropoutMask(mask, 4, { seed: 1, step: 1, index: 0, firstSample: 0, ratio: 0.3 });
  t.notSame([...mask.subarray(0, 100)], [], 'another step draws anew');
  t.end();
});
