import { Value } from '@sinclair/typebox/value';
import t from 'tap';
import {
  DatasetSchema,
  datasetSchemas,
  filesOf,
  fitSample,
  withFiles,
  type DatasetSpec,
} from '../../../data/index.js';

const specs: DatasetSpec[] = [
  { format: 'idx', features: 'a', labels: 'b', normalize: { mean: 0.1307, std: 0.3081 }, rows: [0, 9000] },
  { format: 'csv', path: 'a', target: -1, header: 'auto', normalize: 'standard', columns: ['x', 3] },
  { format: 'csv', path: 'a', target: ['p', 'q'], header: true, delimiter: '\t', categories: ['x'] },
  { format: 'npy', features: 'a', target: 'b', scale: 0.5, normalize: { mean: [1, 2], std: [3, 4] } },
  { format: 'npy', inputs: { x: 'a', y: 'b' }, target: 'c' },
  { format: 'npz', path: 'a', features: 'x', target: 'y' },
  { format: 'text', path: 'a', tokens: 'char', context: 64 },
  { format: 'text', files: ['a', 'b'], tokens: 'byte', context: 64, stride: 1 },
];

t.test('what a job file may say', (t) => {
  for (const spec of specs) {
    t.ok(Value.Check(DatasetSchema, spec), JSON.stringify(spec));
    t.ok(Value.Check(datasetSchemas[spec.format], spec));
    t.notOk(Value.Check(DatasetSchema, { ...spec, lables: 'x' }), 'an unknown key');
    t.notOk(Value.Check(DatasetSchema, { ...spec, rows: [-1, 4] }));
    t.notOk(Value.Check(DatasetSchema, { ...spec, format: 'parquet' }));
  }
  t.notOk(Value.Check(DatasetSchema, { format: 'text', path: 'a', tokens: 'word', context: 64 }));
  t.notOk(Value.Check(DatasetSchema, { format: 'text', path: 'a', tokens: 'char', context: 0 }));
  t.notOk(Value.Check(DatasetSchema, { format: 'idx', features: '', labels: 'b' }));
  t.end();
});

t.test('files are listed and replaced, everything else stays', (t) => {
  t.same(
    specs.map((spec) =>
      filesOf(spec)
        .map(({ field, file }) => `${field}=${file}`)
        .join(' '),
    ),
    [
      'features=a labels=b',
      'path=a',
      'path=a',
      'features=a target=b',
      'inputs.x=a inputs.y=b target=c',
      'path=a',
      'path=a',
      'files[0]=a files[1]=b',
    ],
  );
  for (const spec of specs) {
    const there = withFiles(spec, (file, field) => `${field}:${file}`);
    t.ok(filesOf(there).every(({ field, file }) => file.startsWith(`${field}:`)));
    t.same(
      withFiles(there, (file, field) => file.slice(field.length + 1)),
      spec,
    );
  }
  t.end();
});

t.test('fitSample adds and drops axes of length 1, flattens and folds, and nothing else', (t) => {
  const cases: [number[], (number | string)[], number[] | undefined][] = [
    [
      [28, 28],
      [1, 28, 28],
      [1, 28, 28],
    ],
    [
      [28, 28],
      [28, 28, 1],
      [28, 28, 1],
    ],
    [
      [1, 28, 28],
      [28, 28],
      [28, 28],
    ],
    [[28, 28], [784], [784]],
    [[784], [1, 28, 28], [1, 28, 28]],
    [[784], [1, 'h', 28], [1, 28, 28]],
    [[28, 28], ['n'], [784]],
    [
      [28, 28],
      [1, 'h', 'w'],
      [1, 28, 28],
    ],
    [
      [28, 28],
      ['c', 'h', 'w'],
      [28, 28, 1],
    ],
    [[64], ['t'], [64]],
    [
      [1, 5],
      ['c', 'x'],
      [1, 5],
    ],
    [[], [1], [1]],
    [[], [], []],
    [[1], [], []],
    [[5], [], undefined],
    [[32, 32, 3], [3, 32, 32], undefined],
    [[4, 6], [6, 4], undefined],
    [[28, 28], [1, 32, 32], undefined],
    [[8], ['t', 3], undefined],
    [[4], [8], undefined],
    [[4, 5], [4], undefined],
  ];
  for (const [sample, wanted, fitted] of cases) {
    t.same(fitSample(sample, wanted), fitted, `[${sample.join()}] into [${wanted.join()}]`);
  }
  t.end();
});
