import t from 'tap';
import { fromReference, toReference, type Reference } from '../../../graph/index.js';

const reference = (dtype: Reference['dtype'], ...values: number[]): Reference => ({
  dtype,
  shape: [values.length],
  data: Float64Array.from(values),
});

t.test('every 16-bit float comes back as it was', (t) => {
  for (const dtype of ['float16', 'bfloat16'] as const) {
    const data = Uint16Array.from({ length: 65536 }, (_, bits) => bits);
    const back = fromReference(toReference({ dtype, shape: [65536], data })).data;
    const values = toReference({ dtype, shape: [65536], data }).data;
    const changed = [...data].filter((bits) => Number(back[bits]) !== bits && !Number.isNaN(values[bits]!));
    t.same(changed, [], dtype);
  }
  t.end();
});

t.test('rounding is to nearest, ties to even', (t) => {
  const bits = (dtype: 'float16' | 'bfloat16', ...values: number[]): number[] =>
    [...fromReference(reference(dtype, ...values)).data].map(Number);
  t.same(
    bits('float16', 1, 1 + 2 ** -11, 1 + 3 * 2 ** -11, 65504, 65519, 65520, -0, 2 ** -25, 2 ** -24),
    [0x3c00, 0x3c00, 0x3c02, 0x7bff, 0x7bff, 0x7c00, 0x8000, 0, 1],
  );
  t.same(bits('bfloat16', 1, 1 + 2 ** -8, 1 + 3 * 2 ** -8, -2), [0x3f80, 0x3f80, 0x3f82, 0xc000]);
  t.end();
});

t.test('the ends of the 64-bit integers stay where they are', (t) => {
  const ends = { dtype: 'int64', shape: [2], data: BigInt64Array.of(2n ** 63n - 1n, -(2n ** 63n)) } as const;
  t.same([...fromReference(toReference(ends)).data], [...ends.data]);
  t.end();
});
