import t from 'tap';
import { checkDataset, type CheckOptions, type Dataset } from '../../../data/index.js';
import { bytesOf, DataFolder, idx, npy } from './make.js';

const folder = new DataFolder();
t.teardown(() => folder.remove());

folder.write('labels', idx(8, [4], [0, 3, 9, 1]));
folder.write('images', idx(8, [4, 2], new Uint8Array(8)));
const matrix = Float32Array.from({ length: 3000 * 100 }, (_, i) => i);
const target = folder.write('t.npy', npy('<f4', [3000], bytesOf(new Float32Array(3000))));
const values = { target: { kind: 'values' } } as const;

async function problemOf(data: Dataset, options?: CheckOptions): Promise<unknown> {
  return checkDataset(data, options).then(
    () => undefined,
    (error: unknown) => error,
  );
}

t.test('a label outside the classes: row and label', async (t) => {
  const data = await folder.open({ format: 'idx', features: 'images', labels: 'labels' });
  t.equal(await problemOf(data, { classes: 10 }), undefined);
  t.equal(await problemOf(data), undefined);
  const error = await problemOf(data, { classes: 5 });
  t.match(error, {
    code: 'data_label',
    message: "labels: row 2 (from 0): label 9 is outside the model's 5 classes, 0 to 4; labels count from 0",
    ids: { file: 'labels', row: 2, found: 9, accepted: 5 },
  });
});

t.test('rows that are left out are not looked at, and rows keep their number in the file', async (t) => {
  const spec = { format: 'idx', features: 'images', labels: 'labels' } as const;
  t.equal(await problemOf(await folder.open({ ...spec, rows: [0, 2] }), { classes: 5 }), undefined);
  t.match(await problemOf(await folder.open({ ...spec, rows: [1, 4] }), { classes: 5 }), { ids: { row: 2 } });
});

t.test('negative labels and labels beyond 32 bits', async (t) => {
  for (const label of [-1n, 2n ** 40n]) {
    folder.write('l.npy', npy('<i8', [4], bytesOf(BigInt64Array.of(0n, 0n, 0n, label))));
    folder.write('f.npy', npy('<f4', [4, 1], bytesOf(new Float32Array(4))));
    const data = await folder.open({ format: 'npy', features: 'f.npy', target: 'l.npy' });
    t.match(await problemOf(data, { classes: 5 }), {
      code: 'data_label',
      ids: { row: 3, found: Number(label) },
    });
  }
});

t.test('NaN and infinities, wherever they are: row and element', async (t) => {
  for (const [row, column, value] of [
    [0, 0, NaN],
    [2999, 99, Infinity],
    [2700, 3, -Infinity],
  ] as const) {
    const copy = matrix.slice();
    copy[row * 100 + column] = value;
    folder.write('f.npy', npy('<f4', [3000, 10, 10], bytesOf(copy)));
    const data = await folder.open({ format: 'npy', features: 'f.npy', target }, values);
    t.match(await problemOf(data), {
      code: 'data_value',
      message: `f.npy: row ${row} (from 0), element [${Math.floor(column / 10)}, ${column % 10}]: ${value} cannot`,
      ids: { row, column },
    });
  }
  folder.write('f.npy', npy('<f4', [3000, 100], bytesOf(matrix)));
  const spec = { format: 'npy', features: 'f.npy', target } as const;
  t.equal(await problemOf(await folder.open(spec, values)), undefined);
});

t.test('float64 that float32 cannot hold, a float target, and its range', async (t) => {
  folder.write('d.npy', npy('<f8', [2], bytesOf(Float64Array.of(1, 1e300))));
  folder.write('u.npy', npy('<f4', [2], bytesOf(Float32Array.of(0.5, 1.5))));
  const wide = await folder.open({ format: 'npy', features: 'd.npy', target: 'u.npy' }, values);
  t.match(await problemOf(wide), { code: 'data_value', ids: { file: 'd.npy', row: 1, found: 'Infinity' } });
  const range = await folder.open({ format: 'npy', features: 'u.npy', target: 'u.npy' }, values);
  t.equal(await problemOf(range), undefined);
  t.match(await problemOf(range, { targetRange: [0, 1] }), {
    code: 'data_value',
    message: /row 1 \(from 0\): target 1.5 is outside \[0, 1\]/,
  });
});

t.test('token ids against the embedding', async (t) => {
  folder.write('ids.npy', npy('<i4', [2, 2], bytesOf(Int32Array.of(0, 5, 6, 7))));
  folder.write('l.npy', npy('|u1', [2], Uint8Array.of(0, 1)));
  for (const dtype of ['int64', 'int32']) {
    const inputs = [{ name: 'x', dtype, shape: ['N', 2] }];
    const data = await folder.open({ format: 'npy', features: 'ids.npy', target: 'l.npy' }, { inputs });
    t.equal(await problemOf(data, { embeddingRows: [8] }), undefined);
    t.equal(await problemOf(data, { embeddingRows: [undefined] }), undefined);
    t.match(await problemOf(data, { embeddingRows: [7] }), {
      code: 'data_label',
      message: /row 1 \(from 0\), element \[1\]: token id 7 is outside .* 7 rows, 0 to 6/,
    });
  }
  folder.write('text', 'abcab');
  const text = await folder.open({ format: 'text', path: 'text', tokens: 'char', context: 2 });
  t.equal(await problemOf(text, { embeddingRows: [3], classes: 3 }), undefined);
  t.match(await problemOf(text, { embeddingRows: [2], classes: 3 }), {
    message: /sample 1 \(from 0\), token 2 of the text: token id 2/,
  });
});

t.test('csv: the line as an editor shows it, and the name of the column', async (t) => {
  folder.write('c.csv', 'a,kind\n1,0\n\n2,7\n');
  const data = await folder.open({ format: 'csv', path: 'c.csv', target: 'kind' });
  t.match(await problemOf(data, { classes: 3 }), {
    message: /^c\.csv: line 4, column "kind": label 7 is outside/,
    ids: { row: 4, column: 'column "kind"' },
  });
});
