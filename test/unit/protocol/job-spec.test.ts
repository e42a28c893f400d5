import t from 'tap';
import {
  artifactOf,
  isTerminal,
  JOB_STATES,
  referenceTo,
  ValidationError,
  validateJobSpec,
  type JobSpec,
} from '../../../protocol/index.js';

const job: JobSpec = {
  name: 'digits',
  model: 'lenet.onnx',
  data: {
    train: { format: 'idx', features: 'a.gz', labels: 'b.gz', normalize: { mean: 0.1307, std: 0.3081 } },
    validation: { format: 'idx', features: 'c.gz', labels: 'd.gz' },
  },
  loss: 'cross_entropy',
  optimizer: { kind: 'adamw', lr: 0.001, weightDecay: 0.01 },
  schedule: { kind: 'cosine', warmupSteps: 50 },
  batch: 128,
  epochs: 2,
  seed: 7,
  clipNorm: 1,
  parallelism: 'auto',
  checkpoint: { everySteps: 200 },
  output: 'out/digits',
};

function problem(change: object): string {
  try {
    validateJobSpec({ ...job, ...change }, 'job.yaml');
    return 'accepted';
  } catch (error) {
    t.ok(error instanceof ValidationError);
    return (error as Error).message;
  }
}

t.test('the job file of the contract', (t) => {
  t.strictSame(validateJobSpec(job, 'job.yaml'), job);
  for (const change of [
    { optimizer: { kind: 'sgd', lr: 0.1, momentum: 0.9, nesterov: true } },
    { optimizer: { kind: 'adam', lr: 0, betas: [0.9, 0.99], eps: 1e-9 } },
    { schedule: { kind: 'step', everySteps: 10, gamma: 0.5 } },
    { parallelism: { data: 2, shares: [3, 1] } },
    { parallelism: { data: 2, pipeline: 2, microBatches: 8, schedule: '1f1b' } },
    {
      data: { train: { format: 'text', path: 'a.txt', tokens: 'char', context: 64, rows: [0, 9000] } },
      loss: 'cross_entropy',
    },
    { data: { train: { format: 'csv', path: 'a.csv', target: 'price' } }, loss: 'huber' },
    { communication: { wire: 'bfloat16', bucketBytes: 65536 }, logEverySteps: 10, validateEverySteps: 5 },
  ]) {
    t.equal(problem(change), 'accepted', JSON.stringify(change));
  }
  t.end();
});

t.test('each mistake is named, with what was found and what would be accepted', (t) => {
  t.match(
    problem({ bacth: 64 }),
    /^job\.yaml: unknown key "bacth", did you mean "batch"\? \(known: name, model/,
  );
  t.match(problem({ batch: 0 }), /batch: found 0, expected a number >= 1/);
  t.match(problem({ batch: '64' }), /batch: found "64", expected an integer/);
  t.match(problem({ batch: undefined }), /"batch"/);
  t.match(problem({ loss: 'crossentropy' }), /loss: found "crossentropy", expected "cross_entropy" or "mse"/);
  t.match(
    problem({ optimizer: { kind: 'adamw', lr: -1 } }),
    /optimizer\.lr: found -1, expected a number >= 0/,
  );
  t.match(problem({ optimizer: { kind: 'adamw', lr: 0.1, momentun: 0.9 } }), /momentun/);
  const grouped = (group: object) => problem({ optimizer: { kind: 'sgd', lr: 0.1, groups: [group] } });
  t.match(
    grouped({ parameters: 'W' }),
    /^[^;]*optimizer\.groups\.0: found \{"parameters":"W"\}, expected parameters, and lr or weightDecay or both$/,
    'of the kind that is given, and nothing of other kinds',
  );
  t.match(
    grouped({ parameter: 'W', lr: 1 }),
    /^[^;]*unknown key "optimizer\.groups\.0\.parameter", did you mean "parameters"[^;]*$/,
  );
  t.match(problem({ lossOutput: '' }), /lossOutput: found ""/);
  t.match(problem({ seed: 2 ** 32 }), /seed: found 4294967296/);
  t.match(problem({ name: 'two\nlines' }), /name/);
  t.match(problem({ batch: 0, epochs: 0 }), /batch.*; .*epochs|epochs.*; .*batch/, 'all of them at once');
  t.end();
});

t.test('references to artifacts', (t) => {
  const hash = 'ab'.repeat(32);
  t.equal(artifactOf(referenceTo(hash)), hash);
  for (const text of [
    '',
    'model.onnx',
    `sha256:${hash}x`,
    `sha256:${hash.toUpperCase()}`,
    `SHA256:${hash}`,
    `sha256:${hash}\n`,
  ]) {
    t.equal(artifactOf(text), undefined, JSON.stringify(text));
  }
  t.end();
});

t.test('states that end a job', (t) => {
  t.strictSame(JOB_STATES.filter(isTerminal), ['succeeded', 'failed', 'cancelled']);
  t.end();
});
