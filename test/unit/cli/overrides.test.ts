import t from 'tap';
import { UsageError } from '../../../cli/errors.js';
import { applyOverride, parseOverride } from '../../../cli/submit/overrides.js';

const set = (document: unknown, ...texts: string[]): unknown =>
  texts.map(parseOverride).reduce<unknown>(applyOverride, document);

t.test('a value is YAML and goes where the dots lead', async (t) => {
  t.strictSame(set({ a: 1 }, 'a=2'), { a: 2 });
  t.strictSame(set({}, 'optimizer.lr=1e-3'), { optimizer: { lr: 0.001 } });
  t.strictSame(set({ data: { train: { path: 'x' } } }, 'data.train.rows=[0, 9000]'), {
    data: { train: { path: 'x', rows: [0, 9000] } },
  });
  t.strictSame(set({}, 'checkpoint={everySteps: 5}', 'checkpoint.everySteps=6'), {
    checkpoint: { everySteps: 6 },
  });
  t.strictSame(set({}, 'name=a=b'), { name: 'a=b' });
  t.strictSame(set({ a: [1, 2] }, 'a.1=5'), { a: [1, 5] });
});

t.test('null removes a key, and the document itself stays as it was', async (t) => {
  const document = { epochs: 2, deep: { a: 1, b: 2 } };
  t.strictSame(set(document, 'epochs=null', 'deep.a=null'), { deep: { b: 2 } });
  t.strictSame(document, { epochs: 2, deep: { a: 1, b: 2 } });
});

t.test('says what is wrong', async (t) => {
  t.throws(() => parseOverride('lr'), UsageError);
  t.throws(() => parseOverride('=1'), UsageError);
  t.throws(() => parseOverride('a..b=1'), UsageError);
  t.throws(() => parseOverride('a=[1'), { code: 'usage', message: /not YAML/ });
  t.throws(() => set({ batch: 3 }, 'batch.size=1'), { message: /nothing inside 3 to name "size"/ });
  t.throws(() => set({ a: [1] }, 'a.3=1'), { message: /not an index of a list of 1/ });
});
