import t from 'tap';
import { BenchError, parseInputSpec, timingOf } from '../../../worker/bench/index.js';
import { randomValues } from '../../../worker/bench/input.js';

t.test('inputs as written on the command line', (t) => {
  t.same(parseInputSpec('input=int64[16,64]:65'), {
    name: 'input',
    dtype: 'int64',
    shape: [16, 64],
    high: 65,
  });
  t.same(parseInputSpec('a=b=float32[]'), { name: 'a=b', dtype: 'float32', shape: [], high: undefined });
  t.same(parseInputSpec('m=bool[3]').shape, [3]);
  for (const [text, message] of [
    ['input', /write name=dtype\[dims\]:high/],
    ['input=int128[1]:2', /dtype is one of float32/],
    ['input=int64[1,]:2', /write name=/],
    ['input=int64[16]', /input=int64\[16\]:10/],
    ['input=int64[16]:0', /need a bound above 0/],
  ] as const) {
    t.throws(() => parseInputSpec(text), { message }, text);
    t.throws(() => parseInputSpec(text), BenchError);
  }
  t.end();
});

t.test('values are drawn from the range, the same for the same name', (t) => {
  const ids = randomValues('ids', { dtype: 'int64', shape: [1000] }, 3) as BigInt64Array;
  t.same([...new Set(ids)].sort(), [0n, 1n, 2n]);
  t.same(ids, randomValues('ids', { dtype: 'int64', shape: [1000] }, 3));
  const floats = randomValues('x', { dtype: 'float32', shape: [4000] }) as Float32Array;
  t.ok(Math.abs(floats.reduce((sum, value) => sum + value, 0) / 4000) < 0.1);
  t.ok(Math.abs(floats.reduce((sum, value) => sum + value ** 2, 0) / 4000 - 1) < 0.1);
  t.ok(
    randomValues('b', { dtype: 'bool', shape: [9] }).every(
      (value: number | bigint) => value === 0 || value === 1,
    ),
  );
  t.throws(() => randomValues('h', { dtype: 'float16', shape: [1] }), { message: /"h" is float16\[1\]/ });
  t.end();
});

t.test('medians and spread', (t) => {
  t.same(timingOf([3, 1, 2]), { medianSeconds: 2, minSeconds: 1, maxSeconds: 3 });
  t.same(timingOf([4, 1]), { medianSeconds: 2.5, minSeconds: 1, maxSeconds: 4 });
  t.end();
});
