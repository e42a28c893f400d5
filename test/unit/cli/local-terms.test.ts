import t from 'tap';
import type { JobFile } from '../../../cli/submit/job-file.js';
import { inLocalTerms } from '../../../cli/submit/local-terms.js';

const job: JobFile = {
  file: 'job.yaml',
  folder: '/home/me',
  spec: {
    name: 'n',
    model: 'net.onnx',
    weights: { file: 'old.safetensors', skip: 'head.*' },
    data: { train: { format: 'text', files: ['a.txt', 'b.txt'], tokens: 'byte', context: 4 } },
    loss: 'cross_entropy',
    optimizer: { kind: 'sgd', lr: 1 },
    batch: 4,
  },
  where: (field) =>
    ['model', 'weights.file', 'batch', 'data.train.files.1'].includes(field) ? 'job.yaml:3' : 'job.yaml',
};

t.test('fields become files and lines, everything else stays as it is', async (t) => {
  t.equal(
    inLocalTerms('data.train.files[1]: line 2: x', job),
    'job.yaml:3: data.train.files[1]: b.txt: line 2: x',
  );
  t.equal(inLocalTerms('model: is truncated', job), 'job.yaml:3: model: net.onnx: is truncated');
  t.equal(
    inLocalTerms('weights.file: it does not fit', job),
    'job.yaml:3: weights.file: old.safetensors: it does not fit',
  );
  t.equal(inLocalTerms('batch: 4 is small:\nvery', job), 'job.yaml:3: batch: 4 is small:\nvery');
  t.equal(inLocalTerms('host/cpu:0 died', job), 'host/cpu:0 died');
  t.equal(inLocalTerms('rank: died', job), 'rank: died');
  t.equal(
    inLocalTerms('node "mm" (MatMul): cannot', job, 'bad_shape'),
    'job.yaml:3: model: net.onnx: node "mm" (MatMul): cannot',
  );
  t.equal(inLocalTerms('node "mm" died', job, 'executor_died'), 'node "mm" died');
});
