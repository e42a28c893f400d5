import t from 'tap';
import type { CsvSpec } from '../../../data/index.js';
import { all, DataFolder } from './make.js';

const folder = new DataFolder();
t.teardown(() => folder.remove());
const csv = (path: string, target: CsvSpec['target'], more: Partial<CsvSpec> = {}): CsvSpec => ({
  format: 'csv',
  path,
  target,
  ...more,
});
const values = { target: { kind: 'values' } } as const;

t.test('a header is recognized; the target by name or index', async (t) => {
  folder.write('h.csv', 'a,b,y\n1,2,3\n4,5.5,-6e1\n');
  for (const target of ['y', 2, -1]) {
    const data = await folder.open(csv('h.csv', target), values);
    t.same(all(data), { inputs: [[1, 2, 4, 5.5]], target: [3, -60] });
    t.same(data.inputs, [{ dtype: 'float32', sampleShape: [2] }]);
    t.same(data.target, { dtype: 'float32', sampleShape: [] });
  }
  const some = await folder.open(csv('h.csv', ['y', 'a'], { columns: ['b'] }), values);
  t.same(all(some), { inputs: [[2, 5.5]], target: [3, 1, -60, 4] });
  t.same(some.target.sampleShape, [2]);
});

t.test('without a header, class ids, other delimiters, quotes, a mark and any line ending', async (t) => {
  folder.write('n.csv', '\ufeff1;"2";0\r\n\r\n 3 ;4;1\n5;"6"\r;2'.replace('\r;2', ';2\r'));
  const data = await folder.open(csv('n.csv', -1, { delimiter: ';' }));
  t.same(all(data), { inputs: [[1, 2, 3, 4, 5, 6]], target: [0, 1, 2] });
  t.same(data.target.dtype, 'int64');
  t.equal(data.place(1, 0, 0).rowLabel, 'line 3', 'lines count as in an editor');
  t.equal(data.place(1, 'target', 0).columnLabel, 'column 2 (from 0)');
});

t.test('rows count data rows; what is outside is not looked at', async (t) => {
  folder.gzip('r.csv', 'x,y\n1,bad\n2,0\n3,1\n4,worse\n');
  const data = await folder.open(csv('r.csv', 'y', { rows: [1, 3] }));
  t.same(all(data), { inputs: [[2, 3]], target: [0, 1] });
});

t.test('header: false and true are taken at their word', async (t) => {
  folder.write('w.csv', '2020,2021\n1,2\n');
  t.equal((await folder.open(csv('w.csv', 0), values)).length, 2);
  t.same(all(await folder.open(csv('w.csv', '2021', { header: true }), values)).target, [2]);
});

t.test('classes by name become ids, for either kind of target', async (t) => {
  folder.write('c.csv', '1,no\n2,yes\n3,no\n');
  const spec = csv('c.csv', 1, { classes: ['yes', 'no'] });
  const data = await folder.open(spec);
  t.same(all(data).target, [1, 0, 1]);
  t.equal(data.classes, 2);
  t.same(all(await folder.open(spec, values)).target, [1, 0, 1]);
  await t.rejects(folder.open({ ...spec, classes: ['yes', 'maybe'] }), {
    code: 'data_label',
    message: /line 1.*"no".*yes, maybe/,
  });
});

t.test('categories are one-hot, in the order of the training data', async (t) => {
  folder.write('train.csv', 'sex,len,y\nM,1,0\nF,3,1\nM,5,1\n');
  folder.write('val.csv', 'sex,len,y\nM,7,1\n');
  folder.write('odd.csv', 'sex,len,y\nM,7,1\nX,7,1\n');
  const spec = csv('train.csv', 'y', { categories: ['sex'] });
  const train = await folder.open(spec);
  t.same(all(train).inputs[0], [0, 1, 1, 1, 0, 3, 0, 1, 5]);
  t.same(train.context.categories, { 'column "sex"': ['F', 'M'] });
  const val = await folder.open({ ...spec, path: 'val.csv' }, { context: train.context });
  t.same(all(val).inputs[0], [0, 1, 7]);
  await t.rejects(folder.open({ ...spec, path: 'odd.csv' }, { context: train.context }), {
    code: 'data_vocabulary',
    message: /line 3, column "sex" is "X".*F, M/,
  });
});

t.test('normalize: standard is measured on the training rows and used again', async (t) => {
  folder.write('s.csv', 'a,flat,k,y\n1,0.1,p,0\n3,0.1,q,1\n5,0.1,p,1\n100,0.1,q,0\n');
  const spec = csv('s.csv', 'y', { normalize: 'standard', categories: ['k'], rows: [0, 3] });
  const train = await folder.open(spec);
  const std = Math.sqrt(8 / 3);
  const near = (a: readonly number[], b: readonly number[]) =>
    a.every((value, i) => Math.abs(value - b[i]!) <= 1e-6 * Math.max(1, Math.abs(value)));
  t.ok(near(all(train).inputs[0]!, [-2 / std, 0, 1, 0, 0, 0, 0, 1, 2 / std, 0, 1, 0]));
  t.ok(near(train.context.statistics!.mean, [3, 0.1, 0, 0]));
  t.ok(near(train.context.statistics!.std, [std, 1, 1, 1]));
  const val = await folder.open({ ...spec, rows: [3, 4] }, { context: train.context });
  t.ok(near(all(val).inputs[0]!, [97 / std, 0, 0, 1]));
  const fixed = await folder.open(
    csv('s.csv', 'y', { columns: ['a', 'flat'], normalize: { mean: [1, 0], std: 2 } }),
  );
  t.ok(near(all(fixed).inputs[0]!, [0, 0.05, 1, 0.05, 2, 0.05, 49.5, 0.05]));
});

t.test('the model decides the shapes of features and target', async (t) => {
  const options = {
    inputs: [{ name: 'x', dtype: 'float32', shape: ['N', 2] }],
    target: { kind: 'values', shape: ['N', 1] },
  } as const;
  const data = await folder.open(csv('h.csv', 'y'), options);
  t.same(data.inputs, [{ name: 'x', dtype: 'float32', sampleShape: [2] }]);
  t.same(data.target.sampleShape, [1]);
  await t.rejects(folder.open(csv('h.csv', 'y', { columns: ['a'] }), options), {
    code: 'data_shape',
    message: /\[1\].*\[2\].*columns:/,
  });
});
