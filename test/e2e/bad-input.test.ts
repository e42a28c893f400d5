import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { UpCluster } from './cluster.js';
import { makeDigits, npy, npyFiles } from './digits.js';
import { fixtureModel, mlpJob } from './jobs.js';

t.setTimeout(240_000);
const cluster = await UpCluster.start(['cpu:0,memory=512MiB,threads=1', 'cpu:1,memory=512MiB,threads=1']);
t.teardown(() => cluster.stop());

type Files = Record<string, string | Buffer>;
const yaml = (edit: (text: string) => string, lines?: string): Files => {
  const files = mlpJob(lines);
  return { ...files, 'job.yaml': edit(String(files['job.yaml'])) };
};
const digits = makeDigits(64, 1);
const badLabel = npy(
  '<i8',
  [64],
  BigInt64Array.from(digits.labels, (label, i) => BigInt(i === 40 ? 10 : label)),
);
const withNaN = Float32Array.from(digits.pixels, (pixel) => pixel / 256);
withNaN[5 * 784 + 3] = NaN;
const model = fixtureModel('mlp');

/** What is wrong, the files, and what the message names; the exit code is 2 each time. */
const CASES: [name: string, files: Files, code: RegExp, message: RegExp][] = [
  ['a truncated ONNX file', { ...mlpJob(), 'model.onnx': model.subarray(0, model.length >> 1) }, /bad_model/, /model\.onnx/],
  ['a model that is text', { ...mlpJob(), 'model.onnx': 'not a model' }, /bad_model/, /model\.onnx/],
  ['an unknown key', yaml((text) => text.replace('epochs', 'epoch')), /bad_job_file/, /job\.yaml:\d+: unknown key "epoch", did you mean "epochs"/],
  ['another format than the file has', yaml((text) => text.replace('x.npy, target: y.npy', 'job.yaml, target: y.npy')), /data_format/, /^job\.yaml:\d+: data\.train\.features: job\.yaml: not an npy/],
  ['a sample that does not fit the input', { ...mlpJob(), 'x.npy': npy('<f4', [64, 3], new Float32Array(192)), 'y.npy': npyFiles(digits).labels }, /data_shape/, /x\.npy/],
  ['a label outside the classes', { ...mlpJob(), 'x.npy': npyFiles(digits).features, 'y.npy': badLabel }, /data_label/, /y\.npy.*40.*10/],
  ['NaN in the data', { ...mlpJob(), 'x.npy': npy('<f4', [64, 1, 28, 28], withNaN), 'y.npy': npyFiles(digits).labels }, /data_value/, /x\.npy.*5/],
  ['rows outside the file', yaml((text) => text.replace('target: y.npy', 'target: y.npy, rows: [0, 9999]')), /data_rows/, /9999/],
  ['fewer samples than devices', mlpJob('batch: 1\nepochs: 1\nparallelism: { data: 2 }'), /batch_too_small/, /batch: 1/],
  ['more micro-batches than samples', mlpJob('batch: 32\nepochs: 1\nparallelism: { microBatches: 33 }'), /bad_placement/, /job\.yaml:\d+: parallelism\.microBatches: 33 of a batch of 32/],
  ['an unknown schedule', mlpJob('batch: 32\nepochs: 1\nparallelism: { schedule: zigzag }'), /bad_job_file/, /job\.yaml:\d+: parallelism\.schedule: .*"gpipe" or "1f1b"/],
  ['a loss that does not fit', yaml((text) => text.replace('cross_entropy', 'hinge')), /bad_job_file/, /job\.yaml:\d+: loss/],
]; // prettier-ignore

for (const [name, files, code, message] of CASES) {
  t.test(`${name} is refused at submit`, async (t) => {
    const folder = t.testdir(files);
    const ended = await cluster.ask(['submit', 'job.yaml', '--follow', '--json'], folder);
    t.equal(ended.code, 2, ended.stderr);
    const { error } = JSON.parse(ended.stdout) as { error: { code: string; message: string } };
    t.match(error.code, code);
    t.match(error.message, message);
    t.notMatch(ended.stderr, /\n\s+at /, 'no stack');
    t.notOk(existsSync(join(folder, 'out')), 'no output folder was left');
  });
}

t.test('operators that dtrain does not know are all listed, with their nodes', async (t) => {
  const unknown = Buffer.from(fixtureModel('mlp').toString('latin1').replaceAll('Relu', 'Rulu'), 'latin1');
  const folder = t.testdir({ ...mlpJob(), 'model.onnx': unknown });
  const ended = await cluster.dtrain(['submit', 'job.yaml', '--json'], folder);
  t.equal(ended.code, 2, ended.stderr);
  t.match(JSON.parse(ended.stdout), {
    error: { code: 'unsupported_operator', message: /Rulu \(.*2\/Rulu/ },
  });
});
