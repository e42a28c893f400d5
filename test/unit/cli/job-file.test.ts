import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { JobFileError } from '../../../cli/errors.js';
import { readJobFile } from '../../../cli/submit/job-file.js';
import { parseOverride } from '../../../cli/submit/overrides.js';

const GOOD = `
# a comment
name: digits
model: lenet.onnx
data:
  train: { format: idx, features: images.gz, labels: labels.gz }
loss: cross_entropy
optimizer:
  kind: adamw
  lr: 0.001
batch: 128
epochs: 2
`;

t.test('reads YAML and JSON, and knows the line of each field', async (t) => {
  const folder = t.testdir({ 'job.yaml': GOOD });
  const job = await readJobFile('job.yaml', folder);
  t.equal(job.folder, folder);
  t.equal(job.spec.batch, 128);
  t.equal(job.where('model'), 'job.yaml:4');
  t.equal(job.where('data.train.labels'), 'job.yaml:6');
  t.equal(job.where('optimizer.lr'), 'job.yaml:10');
  t.equal(job.where('optimizer.betas'), 'job.yaml:8', 'what is not there: the nearest thing around it');
  t.equal(job.where(''), 'job.yaml');

  writeFileSync(join(folder, 'job.json'), JSON.stringify(job.spec, null, 2));
  t.strictSame((await readJobFile(join(folder, 'job.json'), folder)).spec, job.spec);
});

t.test('--set goes over the file, and is named where its value is wrong', async (t) => {
  const folder = t.testdir({ 'job.yaml': GOOD });
  const job = await readJobFile('job.yaml', folder, [
    parseOverride('batch=64'),
    parseOverride('optimizer.lr=0.1'),
  ]);
  t.equal(job.spec.batch, 64);
  t.equal(job.where('batch'), '--set batch=64');
  await t.rejects(readJobFile('job.yaml', folder, [parseOverride('batch=many')]), {
    message: /^--set batch=many: batch: /,
  });
});

const WRONG: [name: string, text: string, message: RegExp][] = [
  [
    'an unknown key',
    GOOD.replace('epochs:', 'epoch:'),
    /^job\.yaml:12: unknown key "epoch", did you mean "epochs"\?/,
  ],
  ['an unknown key inside', GOOD.replace('  lr:', '  rate:'), /^job\.yaml:10: .*/],
  [
    'a wrong type',
    GOOD.replace('batch: 128', 'batch: all'),
    /^job\.yaml:11: batch: found "all", expected an integer/,
  ],
  ['no YAML', 'name: [digits', /^job\.yaml:1:\d+: this is not YAML/],
  ['a key twice', `${GOOD}batch: 3\n`, /^job\.yaml:13:1: this is not YAML.*unique/],
  ['a list', '- 1\n', /^job\.yaml: a job file is a map/],
  ['an empty file', '', /^job\.yaml: a job file is a map/],
];

for (const [name, text, message] of WRONG) {
  t.test(`refuses ${name}`, async (t) => {
    const folder = t.testdir({ 'job.yaml': text });
    const error: unknown = await readJobFile('job.yaml', folder).catch((error: unknown) => error);
    t.ok(error instanceof JobFileError);
    t.match((error as JobFileError).message, message);
    t.equal((error as JobFileError).family, 'user');
  });
}

t.test('refuses a file that is not there and a folder', async (t) => {
  const folder = t.testdir({ sub: {} });
  await t.rejects(readJobFile('none.yaml', folder), {
    code: 'bad_job_file',
    message: /^none\.yaml: there is no such file/,
  });
  await t.rejects(readJobFile('sub', folder), { code: 'bad_job_file', message: /^sub: this is a folder/ });
});
