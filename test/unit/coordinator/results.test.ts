import { create, fromBinary } from '@bufbuild/protobuf';
import {
  mkdirSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createLogger, sha256, systemClock } from '../../../base/index.js';
import { ArtifactStore } from '../../../coordinator/artifacts/index.js';
import { claimHolds, JobResults, removeClaim, reportOf } from '../../../coordinator/results/index.js';
import { EventSchema } from '../../../coordinator/results/tensorboard/gen/event_pb.js';
import { StepReportSchema } from '../../../protocol/index.js';
import { bubbleOf, fromChromeTrace } from '../../../scheduler/index.js';
import { plan, summary } from './samples.js';
import { readRecords } from './tfrecord-reader.js';

const report = (step: number, change: object = {}) =>
  create(StepReportSchema, {
    step,
    dataEpoch: step / 10,
    loss: 1 / step,
    learningRate: 0.1,
    samplesPerSecond: 80,
    gradientNorm: 2,
    atSeconds: step,
    ...change,
  });

function folderOf(t: Tap): string {
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-results-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
type Tap = Pick<typeof t, 'teardown' | 'fail'>;

async function begin(
  t: Tap,
  directory: string,
  failed: (error: Error) => void = (error) => t.fail(error.message),
  logFile?: string,
) {
  const root = folderOf(t);
  const artifacts = await ArtifactStore.open(join(root, 'artifacts'));
  const put = async (text: string) => {
    await artifacts.put(sha256(text), Readable(text));
    return sha256(text);
  };
  const results = await JobResults.begin(
    {
      job: 'job_1',
      directory,
      logFile: logFile ?? join(root, 'log.jsonl'),
      artifacts,
      exportModel: (paths) => {
        writeFileSync(paths.to, readFileSync(paths.model, 'utf8') + readFileSync(paths.weights, 'utf8'));
        return Promise.resolve();
      },
      mergeWeights: ({ parts, to }) => {
        writeFileSync(to, parts.map((part) => readFileSync(part, 'utf8')).join('+'));
        return Promise.resolve();
      },
      clock: systemClock,
      logger: createLogger('test', 'silent'),
      written: () => undefined,
      failed,
    },
    plan,
    ['a', 'b'],
  );
  return { results, put, root };
}

async function* Readable(text: string): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(Buffer.from(text));
}

t.test('everything that the contract lists', async (t) => {
  const output = join(folderOf(t), 'out');
  const { results, put, root } = await begin(t, output);
  results.step(report(1));
  results.step(report(2, { loss: NaN, gradientNorm: Infinity }));
  results.step(report(3, { validationLoss: 0.7, validationAccuracy: 0.9 }));
  results.say({ at: 'now', device: null, rank: null, level: 'info', message: 'hello' });
  results.checkpoint(2, [await put('at two')]);
  results.checkpoint(4, [await put('first'), await put('second')]);
  await results.succeed(plan, await put('model+'), [await put('weights')], [summary]);
  const recorded = (rank: number) =>
    put(JSON.stringify({ rank, events: [['step', 0, 0, 3, 10 + rank, 12]] }));
  const names = { title: 'digits', ranks: [{ device: 'a/cpu:0' }, { device: 'b/cpu:0' }] };
  await results.trace(names, [await recorded(0), await recorded(1)]);
  await results.close();
  t.strictSame(readdirSync(output).sort(), [
    'checkpoints',
    'metrics.jsonl',
    'model.onnx',
    'plan.json',
    'report.json',
    'tensorboard',
    'trace.json',
    'vocabulary.json',
    'weights.safetensors',
  ]);
  const read = (name: string) => readFileSync(join(output, name), 'utf8');
  const rows = read('metrics.jsonl')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as object);
  t.match(rows[0], { step: 1, epoch: 0.1, loss: 1, learningRate: 0.1, samplesPerSecond: 80 });
  t.match(rows[1], { step: 2, loss: null, gradientNorm: null }, 'JSON has no NaN');
  t.notOk('validationLoss' in rows[1]!);
  t.match(rows[2], { validationLoss: 0.7, validationAccuracy: 0.9 });
  t.equal(read('model.onnx'), 'model+weights');
  t.equal(read('weights.safetensors'), 'weights');
  t.equal(read('checkpoints/step-2.safetensors'), 'at two');
  t.equal(read('checkpoints/step-4.safetensors'), 'first+second', 'parts are merged, in their order');
  t.strictSame(JSON.parse(read('vocabulary.json')), ['a', 'b']);
  t.strictSame(JSON.parse(read('plan.json')), plan);
  t.strictSame(JSON.parse(read('report.json')), reportOf('job_1', plan, [summary]));
  const trace = fromChromeTrace(JSON.parse(read('trace.json')));
  t.equal(bubbleOf(trace.events).bubble, 0.25);
  t.match(trace.names.ranks, names.ranks);
  t.match(readFileSync(join(root, 'log.jsonl'), 'utf8'), /hello/);

  const [file] = readdirSync(join(output, 'tensorboard'));
  t.match(file, /^events\.out\.tfevents\.\d+\.job_1$/);
  const events = readRecords(readFileSync(join(output, 'tensorboard', file!))).map((bytes) =>
    fromBinary(EventSchema, bytes),
  );
  t.match(events[0]!.what, { case: 'fileVersion', value: 'brain.Event:2' });
  const tags = events
    .slice(1)
    .map(({ step, what }) => [
      Number(step),
      what.case === 'summary' ? what.value.value.map(({ tag }) => tag) : [],
    ]);
  t.strictSame(tags, [
    [1, ['loss', 'learning_rate', 'samples_per_second', 'gradient_norm']],
    [2, ['learning_rate', 'samples_per_second']],
    [
      3,
      [
        'loss',
        'learning_rate',
        'samples_per_second',
        'gradient_norm',
        'validation/loss',
        'validation/accuracy',
      ],
    ],
  ]);
});

t.test('nothing of an earlier run is taken for this one’s', async (t) => {
  const output = folderOf(t);
  mkdirSync(join(output, 'tensorboard'));
  mkdirSync(join(output, 'checkpoints'));
  const stale = [
    'model.onnx',
    'weights.safetensors',
    'report.json',
    'tensorboard/events.out.tfevents.1.job_0',
    'checkpoints/step-9.safetensors',
  ];
  const own = ['notes.txt', 'tensorboard/mine', 'checkpoints/mine'];
  for (const name of [...stale, ...own, 'metrics.jsonl']) writeFileSync(join(output, name), 'old');
  const { results } = await begin(t, output);
  await results.close();
  for (const name of stale) t.notOk(existsSync(join(output, name)), `${name} is gone`);
  for (const name of own) t.ok(existsSync(join(output, name)), `${name} is the user’s`);
  t.equal(readFileSync(join(output, 'metrics.jsonl'), 'utf8'), '');
});

t.test('a record that cannot be read is no failure, and leaves no trace', async (t) => {
  const output = join(folderOf(t), 'out');
  const { results, put } = await begin(t, output);
  const names = { title: 'digits', ranks: [{ device: 'a/cpu:0' }, { device: 'b/cpu:0' }] };
  const good = await put(JSON.stringify({ rank: 0, events: [] }));
  await results.trace(names, [good, await put('{')]);
  await results.trace(names, [good, await put(JSON.stringify({ rank: 1, events: [['dance']] }))]);
  await results.trace(names, [good]);
  await results.trace(names, [good, '']);
  t.notOk(existsSync(join(output, 'trace.json')));
  await results.trace(names, [good, good]);
  t.ok(existsSync(join(output, 'trace.json')), 'of no steps');
  await results.close();
});

t.test('a folder that cannot be written', async (t) => {
  const file = join(folderOf(t), 'file');
  writeFileSync(file, '');
  await t.rejects(begin(t, join(file, 'out')), { code: 'output_unwritable', message: /file\/out/ });
  const output = folderOf(t);
  mkdirSync(join(output, 'metrics.jsonl'));
  await t.rejects(begin(t, output), { code: 'output_unwritable', message: /metrics\.jsonl/ });
  const failures: Error[] = [];
  const fresh = folderOf(t);
  const { results } = await begin(t, fresh, (error) => failures.push(error), fresh);
  await results.close();
  t.match(failures, [{ code: 'output_unwritable' }]);
});

t.test('a claim is believed when the token lies in the folder itself', async (t) => {
  const directory = folderOf(t);
  const claim = { directory, token: 'secret' };
  t.notOk(await claimHolds(claim), 'no file');
  writeFileSync(join(directory, '.dtrain-claim'), 'secret\n');
  t.ok(await claimHolds(claim));
  t.notOk(await claimHolds({ directory, token: 'guess' }));
  t.notOk(await claimHolds({ directory, token: '' }));
  t.notOk(
    await claimHolds({ directory: `${directory}/../${directory.split('/').at(-1)!}`, token: 'secret' }),
    'only a plain path',
  );
  t.notOk(await claimHolds({ directory: 'relative', token: 'secret' }));
  await removeClaim(claim);
  t.notOk(existsSync(join(directory, '.dtrain-claim')));
  const elsewhere = folderOf(t);
  writeFileSync(join(elsewhere, 'token'), 'secret');
  symlinkSync(join(elsewhere, 'token'), join(directory, '.dtrain-claim'));
  t.notOk(await claimHolds(claim), 'a link proves nothing');
  rmSync(join(directory, '.dtrain-claim'));
  mkdirSync(join(directory, '.dtrain-claim'));
  t.notOk(await claimHolds(claim), 'nor does a folder');
});

t.test('predicted beside measured', (t) => {
  t.match(reportOf('job_1', plan, [summary]), {
    job: 'job_1',
    steps: 20,
    predictedStepSeconds: 0.1,
    measuredStepSeconds: 0.2,
    devices: [
      {
        device: 'host/cpu:0',
        stages: [0],
        predictedPeakBytes: 5,
        measuredPeakBytes: 9,
        accountedBytes: 8,
        predictedBusySeconds: 0.1,
        measuredBusySeconds: 0.15,
        predictedStepSeconds: 0.1,
        measuredStepSeconds: 0.2,
      },
    ],
  });
  t.end();
});
