import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { repositoryRoot } from '../../root.js';
import {
  allocateBatch,
  bigramCrossEntropy,
  checkDataset,
  openDataset,
  type DatasetSpec,
} from '../../../data/index.js';
import { samples } from './make.js';

const folder = join(repositoryRoot, '..', 'shared', 'data');
const skip = existsSync(folder) ? false : 'the sample data is not here';
const resolve = (file: string) => join(folder, file);
const classes = { resolve, target: { kind: 'classes' } } as const;

t.test('MNIST', { skip }, async (t) => {
  const data = await openDataset(
    {
      format: 'idx',
      features: 'mnist/t10k-images-idx3-ubyte.gz',
      labels: 'mnist/t10k-labels-idx1-ubyte.gz',
      normalize: { mean: 0.1307, std: 0.3081 },
      rows: [0, 9000],
    },
    { ...classes, inputs: [{ name: 'input', dtype: 'float32', shape: ['batch', 1, 28, 28] }] },
  );
  t.equal(data.length, 9000);
  t.same(data.inputs[0]!.sampleShape, [1, 28, 28]);
  t.same(samples(data, [0, 1, 2, 3]).target, [7, 2, 1, 0], 'the first digits of the test set');
  await checkDataset(data, { classes: 10 });
  await t.rejects(checkDataset(data, { classes: 9 }), { code: 'data_label', ids: { row: 7, found: 9 } });

  const batch = allocateBatch(data, 128);
  const order = Array.from({ length: 128 }, (_, i) => (i * 67) % 9000);
  const seconds: number[] = [];
  for (let i = 0; i < 60; i++) {
    const start = performance.now();
    data.read(order, 0, 128, batch);
    seconds.push((performance.now() - start) / 1000);
  }
  const median = seconds.sort((a, b) => a - b)[30]!;
  t.comment(`128 x 784 bytes to normalized float32: ${(median * 1e3).toFixed(3)} ms`);
  t.ok(median < 0.005, 'far from being what a step waits for, even on a busy machine');
});

t.test('Tiny Shakespeare', { skip }, async (t) => {
  const spec = { format: 'text', path: 'tinyshakespeare/input.txt', tokens: 'char', context: 64 } as const;
  const train = await openDataset({ ...spec, rows: [0, 15_000] }, classes);
  const validation = await openDataset(
    { ...spec, rows: [15_000, 17_428] },
    { ...classes, context: train.context },
  );
  t.equal(train.classes, 65);
  t.equal(validation.length, 2428);
  const nats = await bigramCrossEntropy(train, validation);
  t.comment(`bigram: ${nats.toFixed(3)} nats per character`);
  t.ok(nats > 2.3 && nats < 2.6, 'the well-known 2.45 or so');
});

t.test('tables', { skip }, async (t) => {
  const abalone: DatasetSpec = {
    format: 'csv',
    path: 'tabular/abalone.csv',
    target: -1,
    categories: [0],
    normalize: 'standard',
  };
  const values = { resolve, target: { kind: 'values', shape: ['N', 1] } } as const;
  const data = await openDataset(abalone, values);
  t.equal(data.length, 4177);
  t.same(data.inputs[0]!.sampleShape, [10]);
  await checkDataset(data);
  t.same(samples(data, [0, 1]).target, [15, 7]);
  const banknote = await openDataset(
    { format: 'csv', path: 'tabular/banknote_authentication.csv', target: -1 },
    classes,
  );
  t.equal(banknote.length, 1372);
  await checkDataset(banknote, { classes: 2 });
  const series = await openDataset(
    {
      format: 'csv',
      path: 'forecasting/airline-passengers.csv',
      target: 'Passengers',
      columns: ['Passengers'],
    },
    values,
  ).catch((error: unknown) => error);
  t.match(series, { code: 'data_spec', message: /"Passengers" is the target/ });
});
