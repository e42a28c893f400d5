import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import t from 'tap';
import type { JobRecord, MetricRow, Report } from '../../protocol/index.js';
import { UpCluster } from './cluster.js';
import { makeDigits } from './digits.js';
import { lenetJob, mlpJob, ON_BOTH } from './jobs.js';

t.setTimeout(240_000);
const cluster = await UpCluster.start([
  'cpu:0,memory=768MiB,threads=1',
  'cpu:1,memory=768MiB,threads=1,speed=0.5',
]);
t.teardown(() => cluster.stop());

t.test('mlp on npy files: two devices train it, everything promised is in the output folder', async (t) => {
  const folder = t.testdir(mlpJob(`batch: 32\nepochs: 2\n${ON_BOTH}`));
  const ended = await cluster.dtrain(['submit', 'job.yaml', '--follow', '--explain', '--json'], folder);
  t.equal(ended.code, 0, ended.stderr);
  const job = JSON.parse(ended.stdout) as JobRecord;
  t.match(job, {
    state: 'succeeded',
    step: 32,
    totalSteps: 32,
    devices: ['host/cpu:0', 'host/cpu:1'],
    error: null,
  });
  t.ok(job.validationAccuracy! > 0.95, `accuracy ${job.validationAccuracy}`);
  t.equal(job.output.delivered, true);
  t.match(ended.stderr, /host\/cpu:0 takes \d+ of 32 samples/);

  const out = join(folder, 'out');
  t.strictSame(
    readdirSync(out).sort(),
    [
      'metrics.jsonl',
      'model.onnx',
      'plan.json',
      'report.json',
      'tensorboard',
      'trace.json',
      'weights.safetensors',
    ],
    'nothing else, no claim left',
  );
  const rows = metricRows(join(out, 'metrics.jsonl'));
  t.strictSame(
    rows.filter((row) => row.loss !== undefined).map((row) => row.step),
    Array.from({ length: 32 }, (_, i) => i + 1),
  );
  t.ok(
    rows.some((row) => typeof row.validationLoss === 'number' && typeof row.validationAccuracy === 'number'),
  );
  const report = JSON.parse(readFileSync(join(out, 'report.json'), 'utf8')) as Report;
  t.equal(report.devices.length, 2);
  for (const device of report.devices) {
    t.ok(device.measuredPeakBytes > 0 && device.measuredStepSeconds > 0, device.device);
    t.ok(device.measuredPeakBytes < device.budgetBytes, `${device.device} kept to its budget`);
  }

  t.equal(await accuracyOf(join(out, 'model.onnx')), job.validationAccuracy, 'in plain onnxruntime');

  const { stdout } = await cluster.dtrain(['status', job.id, '--json']);
  t.match(JSON.parse(stdout), { id: job.id, state: 'succeeded' });
  t.match((await cluster.dtrain(['list'])).stdout, new RegExp(`${job.id} +succeeded +32/32`));
  t.equal((await cluster.dtrain(['logs', job.id])).code, 0);
  const over = await cluster.dtrain(['cancel', job.id, '--json']);
  t.equal(over.code, 2);
  t.match(JSON.parse(over.stdout), { error: { code: 'job_over' } });

  const fetched = await cluster.dtrain(['fetch', job.id, 'elsewhere'], folder);
  t.equal(fetched.code, 0, fetched.stderr);
  t.strictSame(readFileSync(join(folder, 'elsewhere/model.onnx')), readFileSync(join(out, 'model.onnx')));
});

t.test('lenet on gzipped IDX files, clipped, on a cosine schedule', async (t) => {
  const folder = t.testdir(
    lenetJob('batch: 32\nsteps: 100\nclipNorm: 1.0\nschedule: { kind: cosine, warmupSteps: 5 }'),
  );
  const ended = await cluster.dtrain(
    ['submit', 'job.yaml', '--follow', '--json', '--set', 'name=lenet'],
    folder,
  );
  t.equal(ended.code, 0, ended.stderr);
  const job = JSON.parse(ended.stdout) as JobRecord;
  t.match(job, { name: 'lenet', state: 'succeeded', step: 100 });
  t.ok(job.validationAccuracy! > 0.9, `accuracy ${job.validationAccuracy}`);
});

t.test('the same submission under the same key is one job; the devices are as they were', async (t) => {
  const folder = t.testdir(mlpJob('batch: 32\nsteps: 2'));
  const submit = ['submit', 'job.yaml', '--key', 'once'];
  const first = await cluster.dtrain([...submit, '--follow'], folder);
  const second = await cluster.dtrain(submit, folder);
  t.equal(first.code, 0, first.stderr);
  t.equal(second.code, 0, second.stderr);
  t.equal(second.stdout, first.stdout);
  t.notOk(readdirSync(join(folder, 'out')).includes('.dtrain-claim'), 'the second claim was withdrawn');
  const { devices } = JSON.parse((await cluster.dtrain(['devices', '--json'])).stdout) as {
    devices: unknown[];
  };
  t.match(devices, [
    { id: 'host/cpu:0', state: 'free', speed: 1 },
    { id: 'host/cpu:1', state: 'free', speed: 0.5 },
  ]);
});

t.test('a job can be cancelled while it runs, and --follow tells it', async (t) => {
  const folder = t.testdir(mlpJob('batch: 32\nsteps: 1000000'));
  const following = cluster.start(['submit', 'job.yaml', '--follow', '--json'], folder);
  await following.said(/training \d+\/1000000/);
  const { stdout } = await cluster.dtrain(['list', '--state', 'running', '--json']);
  const { id } = (JSON.parse(stdout) as { jobs: JobRecord[] }).jobs[0]!;
  t.equal((await cluster.dtrain(['cancel', id])).code, 0);
  const ended = await following.ended;
  t.equal(ended.code, 1, ended.stderr);
  t.match(JSON.parse(ended.stdout), { id, state: 'cancelled' });
});

function metricRows(path: string): readonly MetricRow[] {
  const text = readFileSync(path, 'utf8').trim();
  return text.split('\n').map((line) => JSON.parse(line) as MetricRow);
}

/** Of a trained model on the validation digits, by onnxruntime alone. */
async function accuracyOf(model: string): Promise<number> {
  const { pixels, labels, count } = makeDigits(100, 2);
  const session = await InferenceSession.create(model, { logSeverityLevel: 3 });
  const input = new Tensor(
    'float32',
    Float32Array.from(pixels, (pixel) => pixel / 256),
    [count, 1, 28, 28],
  );
  const { output } = await session.run({ input });
  const logits = output!.data as Float32Array;
  await session.release();
  const right = [...labels].filter((label, i) => {
    const row = logits.subarray(10 * i, 10 * i + 10);
    return row.indexOf(Math.max(...row)) === label;
  });
  return right.length / count;
}
