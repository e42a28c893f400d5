import t from 'tap';
import { bigramCrossEntropy } from '../../../data/index.js';
import { all, DataFolder, samples } from './make.js';

const folder = new DataFolder();
t.teardown(() => folder.remove());
const text = (path: string, context: number, more: object = {}) =>
  ({ format: 'text', path, tokens: 'char', context, ...more }) as const;

t.test('samples are windows, targets the same shifted by one', async (t) => {
  folder.write('abc', 'bcabca');
  const data = await folder.open(text('abc', 2));
  t.same(data.context.vocabulary, ['a', 'b', 'c']);
  t.equal(data.classes, 3);
  t.equal(data.length, 2, 'the last token has no successor');
  t.same(data.inputs, [{ dtype: 'int64', sampleShape: [2] }]);
  t.same(all(data), { inputs: [[1, 2, 0, 1]], target: [2, 0, 1, 2] });
  const sliding = await folder.open(text('abc', 2, { stride: 1, rows: [1, 4] }));
  t.same(all(sliding), { inputs: [[2, 0, 0, 1, 1, 2]], target: [0, 1, 1, 2, 2, 0] });
});

t.test('characters are code points, sorted by code point, over any split of the bytes', async (t) => {
  const content = `é😀z😀é${'x'.repeat(70_000)}é😀`; // longer than one piece of the stream
  folder.gzip('unicode', content);
  const data = await folder.open(text('unicode', 5));
  t.same(data.context.vocabulary, ['x', 'z', 'é', '😀']);
  t.same(samples(data, [0]), { inputs: [[2, 3, 1, 3, 2]], target: [3, 1, 3, 2, 0] });
});

t.test('more than 256 characters are held in two bytes each', async (t) => {
  const characters = Array.from({ length: 300 }, (_, i) => String.fromCodePoint(0x4e00 + i));
  folder.write('wide', characters.join(''));
  const data = await folder.open(text('wide', 299));
  t.same(
    all(data).target,
    Array.from({ length: 299 }, (_, i) => i + 1),
  );
  t.ok(data.bytes >= 600);
});

t.test('validation text takes the vocabulary of the training text', async (t) => {
  folder.write('train', 'hello world\n');
  folder.write('good', 'hold');
  folder.write('bad', 'hello\nwo?ld');
  const train = await folder.open(text('train', 3));
  const good = await folder.open(text('good', 3), { context: train.context });
  t.same(good.context.vocabulary, train.context.vocabulary);
  t.same(
    all(good).inputs[0]!.map((id) => train.context.vocabulary![id]),
    ['h', 'o', 'l'],
  );
  await t.rejects(folder.open(text('bad', 3), { context: train.context }), {
    code: 'data_vocabulary',
    message: /bad: line 2, character 3: "\?" \(U\+003F\)/,
  });
});

t.test('bytes, one file in place and several joined', async (t) => {
  folder.write('b1', Uint8Array.of(0, 255, 7));
  folder.write('b2', Uint8Array.of(9, 8));
  const one = await folder.open(
    { format: 'text', path: 'b1', tokens: 'byte', context: 2 },
    { limits: { holdBytes: 1 } },
  );
  t.same(all(one), { inputs: [[0, 255]], target: [255, 7] });
  t.equal(one.classes, 256);
  t.equal(one.context.vocabulary, undefined);
  one.close();
  const both = await folder.open({ format: 'text', files: ['b1', 'b2'], tokens: 'byte', context: 4 });
  t.same(all(both), { inputs: [[0, 255, 7, 9]], target: [255, 7, 9, 8] });
  const chars = await folder.open({ format: 'text', files: ['train', 'good'], tokens: 'char', context: 15 });
  t.equal(
    all(chars)
      .target.map((id) => chars.context.vocabulary![id])
      .join(''),
    'ello world\nhold',
  );
});

t.test('the model input decides between int64 and int32', async (t) => {
  const wish = (dtype: string, length: number | string = 2) => ({
    inputs: [{ name: 'ids', dtype, shape: ['N', length] }],
    target: { kind: 'classes', shape: ['N', length] } as const,
  });
  const data = await folder.open(text('abc', 2), wish('int32'));
  t.same(data.inputs, [{ name: 'ids', dtype: 'int32', sampleShape: [2] }]);
  t.same(all(data).inputs[0], [1, 2, 0, 1]);
  t.same((await folder.open(text('abc', 2), wish('int64', 'T'))).inputs[0]!.sampleShape, [2]);
  await t.rejects(folder.open(text('abc', 2), wish('float32')), { code: 'data_type' });
  await t.rejects(folder.open(text('abc', 2), wish('int64', 4)), {
    code: 'data_shape',
    message: /set context/,
  });
});

t.test('the bigram baseline is the smoothed counts, computed by hand', async (t) => {
  folder.write('ab', 'abababaab'); // a->b 4, b->a 3, a->a 1
  folder.write('val', 'aba');
  const train = await folder.open(text('ab', 8));
  const validation = await folder.open(text('val', 2), { context: train.context });
  const expected = -(Math.log(5 / 7) + Math.log(4 / 5)) / 2;
  t.ok(Math.abs((await bigramCrossEntropy(train, validation)) - expected) < 1e-12);
  const nearly = await bigramCrossEntropy(train, validation, 1e-9);
  t.ok(Math.abs(nearly - -(Math.log(4 / 5) + Math.log(1)) / 2) < 1e-6);
});
