import t from 'tap';
import { scoreOf } from '../../../worker/run/index.js';

t.test('classes on the last axis and on axis 1', (t) => {
  const last = { shape: [2, 3], data: Float32Array.of(0, 5, 1, 9, 0, 0) };
  t.same(scoreOf('cross_entropy', last, { shape: [2], data: BigInt64Array.of(1n, 2n) }), {
    correct: 1,
    counted: 2,
  });
  // [N=1, C=2, L=3]: position p compares data[0][p] with data[1][p]
  const second = { shape: [1, 2, 3], data: Float32Array.of(1, 0, 3, 0, 2, 4) };
  const target = { shape: [1, 3], data: BigInt64Array.of(0n, 1n, -100n) };
  t.same(scoreOf('cross_entropy', second, target), { correct: 2, counted: 2 });
  t.end();
});

t.test('logits of two classes; losses without a notion of right', (t) => {
  const output = { shape: [3, 1], data: Float32Array.of(-1, 2, 3) };
  const target = { shape: [3, 1], data: Float32Array.of(0, 1, 0) };
  t.same(scoreOf('binary_cross_entropy_with_logits', output, target), { correct: 2, counted: 3 });
  t.equal(scoreOf('mse', output, target), undefined);
  t.end();
});
