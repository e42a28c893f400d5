import { existsSync, mkdirSync, readdirSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { zipSync } from 'fflate';
import t from 'tap';
import { sha256 } from '../../../base/index.js';
import { DataError, type DatasetSpec, type OpenOptions } from '../../../data/index.js';
import { bytesOf, DataFolder, idx, npy, samples } from './make.js';

const folder = new DataFolder();
t.teardown(() => folder.remove());

const images = folder.write('images', idx(8, [3, 2], [1, 2, 3, 4, 5, 6]));
const labels = folder.write('labels', idx(8, [3], [0, 1, 2]));
const values = { target: { kind: 'values' } } as const;
const input = (...names: string[]) => ({
  inputs: names.map((name) => ({ name, dtype: 'float32', shape: ['N', 2] })),
});
const idxOf = (features: string, more: object = {}): DatasetSpec => ({
  format: 'idx',
  features,
  labels,
  ...more,
});
const csvOf = (content: string, more: object = {}): DatasetSpec => {
  const path = folder.write(`${sha256(content)}.csv`, content);
  return { format: 'csv', path, target: -1, ...more };
};
const npyOf = (content: Uint8Array, more: object = {}): DatasetSpec => ({
  format: 'npy',
  features: folder.write(`${sha256(content)}.npy`, content),
  target: good,
  ...more,
});
const textOf = (content: string | Uint8Array, more: object = {}): DatasetSpec => ({
  format: 'text',
  path: folder.write(`${sha256(content)}.txt`, content),
  tokens: 'char',
  context: 2,
  ...more,
});
const floats = (count: number) => bytesOf(new Float32Array(count));
const good = folder.write('good.npy', npy('<f4', [3], floats(3)));
mkdirSync(join(folder.path, 'folder'));
const bomb = gzipSync(new Uint8Array(5_000_000));
const cut = gzipSync(idx(8, [50], new Uint8Array(50))).subarray(0, 30);

/** What is wrong, the code, and what the message must say. */
const table: [string, DatasetSpec, string, RegExp, Partial<OpenOptions>?][] = [
  ['no such file', idxOf('nowhere'), 'data_unreadable', /^nowhere: there is no such file/],
  ['a folder', idxOf('folder'), 'data_unreadable', /^folder: is a folder; name a file/],
  ['an empty file', idxOf(folder.write('empty', '')), 'data_empty', /^empty: the file is empty/],
  [
    'not idx',
    idxOf(folder.write('png', '\x89PNG....')),
    'data_format',
    /png: not an idx file; it begins with 0x[0-9a-f]{8}/,
  ],
  ['two bytes', idxOf(folder.write('two', 'ab')), 'data_format', /found|begins with 2 bytes/],
  ['no axes', idxOf(folder.write('axes', idx(8, [], [1]))), 'data_format', /not an idx file/],
  [
    'idx cut short',
    idxOf(folder.write('short', idx(8, [3, 2], [1, 2]))),
    'data_truncated',
    /announces 18 bytes.*found 14/,
  ],
  [
    'idx header cut',
    idxOf(folder.write('head', idx(8, [3, 2], []).subarray(0, 9))),
    'data_truncated',
    /is cut short/,
  ],
  ['idx too long', idxOf(folder.write('long', idx(8, [1], [1, 2]))), 'data_truncated', /bytes after its end/],
  [
    'a huge idx',
    idxOf(folder.write('huge', idx(8, [2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1], []))),
    'data_truncated',
    /announces/,
  ],
  [
    'counts differ',
    idxOf(folder.write('four', idx(8, [4, 2], new Uint8Array(8)))),
    'data_counts',
    /four has 4 rows, but labels has 3/,
  ],
  ['swapped', { format: 'idx', features: labels, labels: images }, 'data_format', /swapped/],
  [
    'no rows at all',
    {
      format: 'idx',
      features: folder.write('z', idx(8, [0, 2], [])),
      labels: folder.write('zl', idx(8, [0], [])),
    },
    'data_empty',
    /has no rows/,
  ],
  ['rows past the end', idxOf(images, { rows: [0, 4] }), 'data_rows', /has 3 rows, \[0, 3\] takes all/],
  ['rows backwards', idxOf(images, { rows: [2, 2] }), 'data_rows', /half-open/],
  [
    'float labels',
    { format: 'idx', features: images, labels: folder.write('fl', idx(0x0d, [3], new Uint8Array(12))) },
    'data_type',
    /target must be int64, found f4/,
  ],
  [
    'std 0',
    idxOf(images, { normalize: { mean: 0, std: 0 } }),
    'data_spec',
    /std has 0; every std must be above 0/,
  ],
  [
    'means of another count',
    idxOf(images, { normalize: { mean: [1, 2, 3], std: 1 } }),
    'data_spec',
    /lists 3 numbers.*length 2/,
  ],
  [
    'two inputs, one array',
    idxOf(images),
    'data_name',
    /takes 2 inputs \(a, b\); name them all under inputs:/,
    input('a', 'b'),
  ],
  ['gzip cut short', idxOf(folder.write('cut.gz', cut)), 'data_truncated', /gzip stream is cut short/],
  [
    'gzip damaged',
    idxOf(folder.write('bad.gz', Uint8Array.of(0x1f, 0x8b, 1, 2, 3, 4, 5, 6, 7, 8, 9))),
    'data_truncated',
    /damaged/,
  ],
  [
    'a gzip bomb',
    idxOf(folder.write('bomb.gz', bomb)),
    'data_too_large',
    /inflates to more than the limit of 977 KiB/,
    { limits: { memoryBytes: 1e6 } },
  ],
  [
    'a gzip bomb as csv',
    { format: 'csv', path: 'bomb.gz', target: 0 },
    'data_too_large',
    /inflates to more/,
    { limits: { memoryBytes: 1e5 } },
  ],
  ['gzip of nothing', idxOf(folder.write('nil.gz', gzipSync(''))), 'data_empty', /nothing is in/],

  ['a pickle as npy', npyOf(Uint8Array.of(0x80, 4, 0x95, 0, 0, 0, 0, 0, 0)), 'data_format', /Python pickle/],
  ['a zip as npy', npyOf(zipSync({ a: Uint8Array.of(1) })), 'data_format', /format: npz/],
  ['a short npy', npyOf(Uint8Array.of(1, 2)), 'data_format', /not an npy file/],
  ['npy version 9', npyOf(npy('<f4', [3], floats(3), { version: 9 as never })), 'data_format', /version 9/],
  ['objects', npyOf(npy('|O', [3], floats(3))), 'data_type', /pickles, which can run code, and are not read/],
  [
    'complex numbers',
    npyOf(npy('<c8', [3], floats(6))),
    'data_type',
    /elements are <c8; accepted are float16/,
  ],
  [
    'records',
    npyOf(
      npy('', [3], floats(3), {
        header: "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (3,), }",
      }),
    ),
    'data_type',
    /record of several fields/,
  ],
  [
    'a header of nonsense',
    npyOf(npy('', [3], floats(3), { header: '{__import__("os")}' })),
    'data_format',
    /lacks descr/,
  ],
  [
    'a huge header',
    npyOf(npy('<f4', [3], floats(3), { version: 2, header: ' '.repeat(70_000) })),
    'data_format',
    /header of 7\d{4} bytes/,
  ],
  [
    'npy header cut',
    npyOf(npy('<f4', [3], floats(3)).subarray(0, 20)),
    'data_truncated',
    /inside its header/,
  ],
  [
    'npy cut short',
    npyOf(npy('<f4', [3], floats(2))),
    'data_truncated',
    /announces 140 bytes \[3\], found 136/,
  ],
  ['npy dims overflow', npyOf(npy('<f4', [2 ** 40, 2 ** 40], floats(2))), 'data_truncated', /announces/],
  ['a scalar', npyOf(npy('<f4', [], floats(1))), 'data_shape', /single number/],
  [
    'floats for ids',
    npyOf(npy('<f4', [3], floats(3))),
    'data_type',
    /must be int64, found f4/,
    { inputs: [{ name: 'x', dtype: 'int64', shape: ['N'] }] },
  ],
  [
    'a type data cannot feed',
    npyOf(npy('<f4', [3], floats(3))),
    'data_type',
    /x is float16; data can feed/,
    { inputs: [{ name: 'x', dtype: 'float16', shape: ['N'] }] },
  ],
  [
    'an input without data',
    npyOf(npy('<f4', [3, 2], floats(6)), { features: undefined, inputs: { a: good } }),
    'data_name',
    /input b has no data/,
    { ...input('a', 'b'), inputs: [{ name: 'a', dtype: 'float32', shape: ['N'] }, ...input('b').inputs] },
  ],
  [
    'data for no input',
    npyOf(npy('<f4', [3], floats(3)), { features: undefined, inputs: { q: good } }),
    'data_name',
    /inputs\.q: the model has no such input; it takes a/,
    input('a'),
  ],
  [
    'features and inputs',
    npyOf(npy('<f4', [3], floats(3)), { inputs: { q: good } }),
    'data_spec',
    /either features:.*or inputs:/,
  ],
  [
    'normalize with inputs',
    npyOf(npy('<f4', [3], floats(3)), { features: undefined, inputs: { p: good, q: good }, scale: 2 }),
    'data_spec',
    /save it normalized/,
  ],
  [
    'Fortran order too large',
    npyOf(npy('<f4', [2, 2], floats(4), { fortran: true })),
    'data_too_large',
    /ascontiguousarray/,
    { limits: { memoryBytes: 15 } },
  ],

  ['npy as npz', { format: 'npz', path: good, features: 'x', target: 'y' }, 'data_format', /not an npz file/],
  [
    'npz cut short',
    {
      format: 'npz',
      path: folder.write('cut.npz', zipSync({ 'x.npy': new Uint8Array(99) }).subarray(0, 90)),
      features: 'x',
      target: 'y',
    },
    'data_truncated',
    /zip archive is cut short/,
  ],
  [
    'no such key',
    {
      format: 'npz',
      path: folder.write('k.npz', zipSync({ 'x.npy': npy('<f4', [3], floats(3)) })),
      features: 'x',
      target: 'y',
    },
    'data_name',
    /no array y; it has x/,
  ],
  [
    'npz too large',
    {
      format: 'npz',
      path: folder.write('l.npz', zipSync({ 'x.npy': npy('<f4', [3000], floats(3000)) })),
      features: 'x',
      target: 'x',
    },
    'data_too_large',
    /npy files/,
    { limits: { memoryBytes: 1000 } },
  ],

  ['a missing cell', csvOf('a,y\n1,2\n,3\n'), 'data_value', /line 3, column "a" is empty/, values],
  ['a missing target', csvOf('a,y\n1,2\n4,\n'), 'data_value', /line 3, column "y" is empty/, values],
  ['NaN', csvOf('1,2\nNaN,3\n'), 'data_value', /line 2, column 0 \(from 0\) is "NaN", not a number/, values],
  ['infinity', csvOf('1,2\n3,-inf\n'), 'data_value', /line 2, column 1 \(from 0\) is "-inf"/, values],
  ['hexadecimal', csvOf('1,2\n0x10,3\n'), 'data_value', /"0x10"/, values],
  ['beyond float32', csvOf('1,2\n1e39,3\n'), 'data_value', /too large for float32/, values],
  ['text among features', csvOf('M,2\nF,3\n'), 'data_value', /"M".*categories:/, { ...values }],
  ['a fraction for a class', csvOf('1,0\n2,0.5\n'), 'data_value', /line 2.*"0.5", not a class id.*classes:/],
  [
    'an empty category',
    csvOf('k,a,y\np,1,2\n,1,3\n', { categories: ['k'] }),
    'data_value',
    /line 3, column "k" is empty/,
    values,
  ],
  [
    'a category that is no feature',
    csvOf('k,a,y\np,1,2\n', { categories: ['k'], columns: ['a'] }),
    'data_spec',
    /"k" is in categories/,
    values,
  ],
  [
    'categories with fixed normalize',
    csvOf('k,a,y\np,1,2\n', { categories: ['k'], normalize: { mean: 0, std: 1 } }),
    'data_spec',
    /only normalize: standard/,
    values,
  ],
  [
    'a row too short',
    csvOf('1,2,3\n4,5\n'),
    'data_format',
    /line 2 has 2 cells, the first line has 3/,
    values,
  ],
  ['a quote left open', csvOf('1,2\n"3,4\n'), 'data_format', /line \d is not csv/, values],
  ['a quote inside', csvOf('1,2\n3"3,4\n'), 'data_format', /line 2 is not csv/, values],
  ['a header alone', csvOf('a,y\n'), 'data_empty', /set header: false/, values],
  ['only line ends', csvOf('\n\n'), 'data_empty', /has no rows/, values],
  ['csv rows past the end', csvOf('a,y\n1,2\n', { rows: [0, 5] }), 'data_rows', /has 1 rows/, values],
  [
    'no such column',
    csvOf('a,y\n1,2\n', { target: 'z' }),
    'data_name',
    /no column "z"; the header has a, y/,
    values,
  ],
  [
    'two such columns',
    csvOf('a,a,y\n1,2,3\n', { target: 'a' }),
    'data_name',
    /more than one column "a"/,
    values,
  ],
  [
    'no such index',
    csvOf('1,2\n', { target: 2 }),
    'data_name',
    /no column 2; the file has 2 columns, 0 to 1/,
    values,
  ],
  ['a name without a header', csvOf('1,2\n', { target: 'y' }), 'data_name', /set header: true/, values],
  ['another delimiter', csvOf('a;y\n1;2\n', { target: 'y' }), 'data_name', /set delimiter: ";"/, values],
  ['another delimiter, by index', csvOf('1;2\n'), 'data_spec', /set delimiter: ";"/, values],
  [
    'the target as a feature',
    csvOf('a,y\n1,2\n', { columns: ['a', 'y'], target: 'y' }),
    'data_spec',
    /"y" is the target/,
    values,
  ],
  ['csv for two inputs', csvOf('1,2\n'), 'data_name', /one input/, { ...values, ...input('a', 'b') }],
  [
    'a table too large',
    csvOf('1,2\n'.repeat(3000)),
    'data_too_large',
    /npy files/,
    { ...values, limits: { memoryBytes: 20_000 } },
  ],

  ['text too short', textOf('ab'), 'data_empty', /has 2 tokens, a sample with its target takes 3/],
  [
    'several files too large',
    { format: 'text', files: [labels, images], tokens: 'byte', context: 2 },
    'data_too_large',
    /give fewer files/,
    { limits: { memoryBytes: 20 } },
  ],
  [
    'one of several too large',
    { format: 'text', files: [images, labels], tokens: 'byte', context: 2 },
    'data_too_large',
    /^images.*give fewer files/,
    { limits: { memoryBytes: 5 } },
  ],
  [
    'an archive too large',
    { format: 'npz', path: 'k.npz', features: 'x', target: 'x' },
    'data_too_large',
    /npy files/,
    { limits: { memoryBytes: 50 } },
  ],
  ['not UTF-8', textOf(Uint8Array.of(97, 98, 0xff, 99)), 'data_format', /not UTF-8 text/],
  ['UTF-8 cut short', textOf(Uint8Array.of(97, 98, 99, 0xe2, 0x82)), 'data_format', /not UTF-8 text/],
  ['path and files', textOf('abcd', { files: ['x'] }), 'data_spec', /either path:.*or files:/],
  ['text for a float loss', textOf('abcd'), 'data_type', /loss: cross_entropy/, values],
  ['text too large', textOf('abcdefgh'), 'data_too_large', /the limit is 4/, { limits: { memoryBytes: 4 } }],
];

for (const [what, spec, code, message, options] of table) {
  t.test(what, async (t) => {
    const error = await folder.open(spec, options).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    t.ok(error instanceof DataError, String(error));
    if (!(error instanceof DataError)) return;
    t.equal(error.code, code, error.message);
    t.match(error.message, message);
    t.equal(error.family, 'user');
  });
}

t.test('no file stays open after an error', { skip: !existsSync('/proc/self/fd') }, async (t) => {
  const open = () => readdirSync('/proc/self/fd').length;
  const before = open();
  for (const [, spec, , , options] of table) await folder.open(spec, options).catch(() => undefined);
  for (const [, spec, , , options] of table) {
    const inPlace = { ...options, limits: { holdBytes: 1, ...options?.limits } };
    await folder.open(spec, inPlace).catch(() => undefined);
  }
  // streams close their descriptors on a later turn of the event loop
  for (let turns = 0; turns < 100 && open() > before; turns++)
    await new Promise((done) => setTimeout(done, 10));
  t.equal(open(), before);
});

t.test('a file that changes while it is read in place', async (t) => {
  folder.write('shrinks', npy('<f4', [100], floats(100)));
  folder.write('target.npy', npy('<f4', [100], floats(100)));
  const spec = { format: 'npy', features: 'shrinks', target: 'target.npy' } as const;
  const data = await folder.open(spec, { ...values, limits: { holdBytes: 1 } });
  truncateSync(join(folder.path, 'shrinks'), 200);
  t.throws(() => samples(data, [99]), { code: 'data_truncated', message: /leave data files as they are/ });
  data.close();
});
