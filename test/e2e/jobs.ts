import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { repositoryRoot } from '../root.js';
import { idxFiles, makeDigits, npyFiles } from './digits.js';

export function fixtureModel(name: string): Buffer {
  return readFileSync(join(repositoryRoot, 'test/fixtures/models', name, 'model.onnx'));
}

const JOB = `
name: digits
loss: cross_entropy
optimizer: { kind: sgd, lr: 0.05, momentum: 0.9 }
seed: 7
output: out
`;

/** A folder with a job of the `mlp` model on npy files; `overrides` are more lines of the job file. */
export function mlpJob(overrides = 'batch: 32\nepochs: 2'): Record<string, string | Buffer> {
  const train = npyFiles(makeDigits(512, 1));
  const validation = npyFiles(makeDigits(100, 2));
  return {
    'model.onnx': fixtureModel('mlp'),
    'x.npy': train.features,
    'y.npy': train.labels,
    'vx.npy': validation.features,
    'vy.npy': validation.labels,
    'job.yaml': `${JOB}
model: model.onnx
data:
  train: { format: npy, features: x.npy, target: y.npy }
  validation: { format: npy, features: vx.npy, target: vy.npy }
${overrides}
`,
  };
}

/** A folder with a job of the `lenet` model on gzipped IDX files. */
export function lenetJob(overrides = 'batch: 32\nepochs: 3'): Record<string, string | Buffer> {
  const train = idxFiles(makeDigits(640, 3));
  const validation = idxFiles(makeDigits(100, 4));
  return {
    'model.onnx': fixtureModel('lenet'),
    'images.gz': train.images,
    'labels.gz': train.labels,
    'v-images.gz': validation.images,
    'v-labels.gz': validation.labels,
    'job.yaml': `${JOB.replace('lr: 0.05', 'lr: 0.1')}
model: model.onnx
data:
  train: { format: idx, features: images.gz, labels: labels.gz, normalize: { mean: 0.2, std: 0.3 } }
  validation: { format: idx, features: v-images.gz, labels: v-labels.gz, normalize: { mean: 0.2, std: 0.3 } }
${overrides}
`,
  };
}

/** Both devices train, though one would be faster with a model as small as these. */
export const ON_BOTH = 'parallelism: { data: 2, pipeline: 1 }';

/** A job on two devices that would go on for hours. */
export const ENDLESS = `batch: 32\nsteps: 1000000\n${ON_BOTH}`;
