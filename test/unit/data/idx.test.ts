import t from 'tap';
import { allocateBatch } from '../../../data/index.js';
import { all, DataFolder, idx, samples } from './make.js';

const folder = new DataFolder();
t.teardown(() => folder.remove());

const pixels = Array.from({ length: 4 * 6 }, (_, i) => i * 10);
folder.write('images', idx(0x08, [4, 2, 3], pixels));
folder.gzip('images.gz', idx(0x08, [4, 2, 3], pixels));
folder.write('labels', idx(0x08, [4], [3, 0, 2, 1]));
const spec = { format: 'idx', features: 'images', labels: 'labels' } as const;
const near = (a: readonly number[], b: readonly number[]) =>
  a.length === b.length && a.every((value, i) => Math.abs(value - b[i]!) < 1e-6);

t.test('bytes are scaled to [0, 1], labels are int64 class ids', async (t) => {
  const data = await folder.open(spec);
  t.equal(data.length, 4);
  t.same(data.inputs, [{ dtype: 'float32', sampleShape: [2, 3] }]);
  t.same(data.target, { dtype: 'int64', sampleShape: [] });
  const read = all(data);
  t.ok(
    near(
      read.inputs[0]!,
      pixels.map((pixel) => pixel / 255),
    ),
  );
  t.same(read.target, [3, 0, 2, 1]);
  data.close();
});

t.test('gzip is told by content, and memory held is stated', async (t) => {
  const data = await folder.open({ ...spec, features: 'images.gz' });
  t.same(all(data), all(await folder.open(spec)));
  const raw = 16 + 24 + 8 + 4;
  t.ok(data.bytes >= raw && data.bytes < raw + 2000, `bytes ${data.bytes}`);
});

t.test('a file over the limit is read where it lies, with the same samples', async (t) => {
  const data = await folder.open(spec, { limits: { holdBytes: 10 } });
  t.same(samples(data, [3, 1, 1]), samples(await folder.open(spec), [3, 1, 1]));
  t.ok(data.bytes < 2000);
  data.close();
  data.close();
});

t.test('normalize and scale', async (t) => {
  const data = await folder.open({ ...spec, normalize: { mean: 0.5, std: 0.25 } });
  t.ok(
    near(
      all(data).inputs[0]!,
      pixels.map((pixel) => (pixel / 255 - 0.5) / 0.25),
    ),
  );
  const raw = await folder.open({ ...spec, scale: 1 });
  t.same(all(raw).inputs[0], pixels);
  const channels = await folder.open({ ...spec, scale: 1, normalize: { mean: [1, 2], std: [1, 10] } });
  t.ok(near(samples(channels, [1]).inputs[0]!, [59, 69, 79, 8.8, 9.8, 10.8]));
});

t.test('rows, indices and ranges of indices', async (t) => {
  const data = await folder.open({ ...spec, rows: [1, 3], scale: 1 });
  t.equal(data.length, 2);
  t.same(all(data).target, [0, 2]);
  t.same(samples(data, [1]).inputs[0], [120, 130, 140, 150, 160, 170]);
  const batch = allocateBatch(data, 3);
  batch.target.fill(-1n as never);
  data.read([0, 1, 0, 1], 1, 3, batch);
  t.same(Array.from(batch.target, Number), [2, 0, -1], 'only end - start rows are written');
});

t.test('a sample takes the shape of the model input', async (t) => {
  const input = (shape: readonly (number | string)[], dtype = 'float32') => ({
    inputs: [{ name: 'x', dtype, shape }],
  });
  const image = await folder.open(spec, input(['N', 1, 2, 3]));
  t.same(image.inputs, [{ name: 'x', dtype: 'float32', sampleShape: [1, 2, 3] }]);
  const flat = await folder.open(spec, input(['N', 6], 'float64'));
  t.same(flat.inputs, [{ name: 'x', dtype: 'float64', sampleShape: [6] }]);
  t.ok(Math.abs(all(flat).inputs[0]![1]! - 10 / 255) < 1e-15);
  await t.rejects(folder.open(spec, input(['N', 1, 28, 28])), {
    code: 'data_shape',
    message: /input x is \[2, 3\].*takes \[1, 28, 28\]/,
  });
});

t.test('other element types, big-endian', async (t) => {
  folder.write('i2', idx(0x0b, [2, 2], [0, 1, 255, 255, 1, 0, 128, 0]));
  folder.write('f8', idx(0x0e, [2], Buffer.from([0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0, 0, 0])));
  const data = await folder.open(
    { format: 'idx', features: 'i2', labels: 'f8' },
    { target: { kind: 'values', shape: ['N', 1] }, inputs: [{ name: 'x', dtype: 'int64', shape: ['N', 2] }] },
  );
  t.same(all(data), { inputs: [[1, -1, 256, -32768]], target: [1.5, -2] });
  t.same(data.target.sampleShape, [1]);
});

t.test('a wrong buffer or index is our own mistake', async (t) => {
  const data = await folder.open(spec);
  const batch = allocateBatch(data, 1);
  t.throws(() => data.read([4], 0, 1, batch), { code: 'internal' });
  t.throws(() => data.read([-1], 0, 1, batch), { code: 'internal' });
  t.throws(() => data.read([0.5], 0, 1, batch), { code: 'internal' });
  t.throws(() => data.read([0, 1], 0, 2, batch), { code: 'internal' });
  t.throws(() => data.read([0], 0, 1, { ...batch, target: new Float32Array(1) }), { code: 'internal' });
  t.throws(() => data.read([0], 0, 1, { ...batch, inputs: [] }), { code: 'internal' });
});
