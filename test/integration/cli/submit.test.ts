import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { sha256 } from '../../../base/index.js';
import { repositoryRoot } from '../../root.js';
import { command } from '../../e2e/in-process.js';
import { Dtrain, dtrain } from '../../e2e/process.js';
import { FakeCoordinator, jobEvent, problem } from './fake-coordinator.js';

t.setTimeout(200_000); // a process a command, on machines that may be busy

const MODEL = readFileSync(join(repositoryRoot, 'test/fixtures/models/mlp/model.onnx'));
const JOB = `
name: digits
model: net/model.onnx
data: { train: { format: npy, features: x.npy, target: y.npy }, validation: { format: npy, features: x.npy, target: y.npy } }
loss: mse
optimizer: { kind: sgd, lr: 0.1 }
batch: 4
steps: 3
output: out
`;
const FILES = { 'job.yaml': JOB, net: { 'model.onnx': MODEL }, 'x.npy': 'features', 'y.npy': 'targets' };

async function coordinator(t: {
  teardown: (end: () => Promise<void>) => void;
}): Promise<[FakeCoordinator, string]> {
  const fake = new FakeCoordinator();
  const url = await fake.start();
  t.teardown(() => fake.close());
  return [fake, url];
}

t.test('uploads what is missing once, puts hashes where paths stood, claims the output folder', async (t) => {
  const [fake, url] = await coordinator(t);
  const folder = t.testdir(FILES);
  const known = Buffer.from('targets');
  fake.artifacts.set(sha256(known), known);
  const ended = await dtrain(['submit', join(folder, 'job.yaml'), '--coordinator', url, '--key', 'k1'], {
    cwd: '/',
  });
  t.equal(ended.code, 0, ended.stderr);
  t.equal(ended.stdout, 'job_1\n');
  t.strictSame(fake.puts.sort(), [sha256(MODEL), sha256('features')].sort());
  const { submission, key } = fake.submissions[0]!;
  t.equal(key, 'k1');
  const npy = {
    format: 'npy',
    features: `sha256:${sha256('features')}`,
    target: `sha256:${sha256('targets')}`,
  };
  t.match(submission.job, {
    model: `sha256:${sha256(MODEL)}`,
    data: { train: npy, validation: npy },
    output: 'out',
  });
  t.equal(submission.outputClaim?.directory, join(folder, 'out'));
  t.equal(readFileSync(join(folder, 'out/.dtrain-claim'), 'utf8'), submission.outputClaim?.token);
});

t.test('weights to start from are uploaded, and named where they do not fit', async (t) => {
  const [fake, url] = await coordinator(t);
  const weights = 'weights:\n  file: net/old.safetensors\n  rename: { model.: "" }\n  skip: head.*\n';
  const net = { 'model.onnx': MODEL, 'old.safetensors': 'weights' };
  const folder = t.testdir({ ...FILES, 'job.yaml': JOB + weights, net });
  const submit = () => command(['submit', join(folder, 'job.yaml'), '--coordinator', url], { cwd: folder });
  const ended = await submit();
  t.equal(ended.code, 0, ended.stderr);
  t.ok(fake.puts.includes(sha256('weights')));
  t.same(fake.submissions[0]!.submission.job.weights, {
    file: `sha256:${sha256('weights')}`,
    rename: { 'model.': '' },
    skip: 'head.*',
  });
  const misfit = problem(422, 'bad_weights', 'weights.file: it does not fit the model: 1 missing');
  fake.refusal = { status: 422, body: JSON.stringify(misfit) };
  const refused = await submit();
  t.equal(refused.code, 2);
  t.match(refused.stderr, /job\.yaml:11: weights\.file: net\/old\.safetensors: it does not fit the model/);
  rmSync(join(folder, 'net/old.safetensors'));
  const absent = await submit();
  t.equal(absent.code, 2);
  t.match(
    absent.stderr,
    /job\.yaml:11: weights\.file: net\/old\.safetensors: there is no such file; expected a safetensors file/,
  );
});

t.test(
  '--follow resumes a broken stream where it was, fetches undelivered results, exits with the result',
  async (t) => {
    const [fake, url] = await coordinator(t);
    const folder = t.testdir(FILES);
    fake.outputs.set('model.onnx', 'trained').set('tensorboard/events', 'board');
    fake.streams = [
      jobEvent(1, { state: 'planning' }) +
        jobEvent(2, { state: 'running', explanation: ['cpu:0 takes all'], totalSteps: 3 }),
      jobEvent(3, {
        state: 'running',
        step: 2,
        totalSteps: 3,
        loss: 0.5,
        samplesPerSecond: 10,
        etaSeconds: 1,
      }),
      jobEvent(4, {
        state: 'succeeded',
        step: 3,
        totalSteps: 3,
        loss: 0.25,
        samplesPerSecond: 10,
        etaSeconds: 0,
      }),
    ];
    const args = ['submit', 'job.yaml', '--follow', '--explain', '--coordinator', url];
    const ended = await command(args, { cwd: folder });
    t.equal(ended.code, 0, ended.stderr);
    t.equal(ended.stdout, 'job_1\n');
    t.strictSame(fake.resumedAfter, [undefined, '2', '3']);
    t.match(
      ended.stderr,
      /host\/cpu:0 takes all[^]*plan cpu:0 takes all/,
      'what came is not what was planned',
    );
    t.match(ended.stderr, /training 3\/3 {2}loss 0\.2500/);
    t.match(ended.stderr, /succeeded job_1/);
    t.notMatch(ended.stderr, /\u001b/, 'no colour and no cursor movement without a terminal');
    t.equal(readFileSync(join(folder, 'out/model.onnx'), 'utf8'), 'trained');
    t.equal(readFileSync(join(folder, 'out/tensorboard/events'), 'utf8'), 'board');
    t.strictSame(readdirSync(join(folder, 'out')).sort(), ['model.onnx', 'tensorboard']);
  },
);

t.test('--explain shows the plan before anything is queued', async (t) => {
  const [fake, url] = await coordinator(t);
  const folder = t.testdir(FILES);
  const submit = (...more: readonly string[]) =>
    command(['submit', 'job.yaml', '--explain', '--coordinator', url, ...more], { cwd: folder });
  const ended = await submit();
  t.equal(ended.code, 0, ended.stderr);
  t.equal(ended.stdout, 'job_1\n', 'stdout has the id alone');
  t.match(
    ended.stderr,
    /100 ms a step \(data-parallel, 1 micro-batch\)\nbottleneck: host\/cpu:0, it is alone/,
  );
  t.match(ended.stderr, /\nSTAGE +DEVICE[^]*\n0 +host\/cpu:0 +2 +8 +5 B of 10 B/);
  t.strictSame(fake.asked, ['plan', 'submit']);

  const json = await submit('--json');
  t.match(JSON.parse(json.stdout), { id: 'job_1' });
  t.match(json.stderr, /bottleneck: host\/cpu:0/);

  fake.streams = [jobEvent(1, { state: 'succeeded', explanation: ['host/cpu:0 takes all'] })];
  const followed = await submit('--follow');
  t.equal(followed.stderr.match(/host\/cpu:0 takes all/g)?.length, 1, 'what was told is not told again');

  const none = { ...problem(422, 'bad_placement', 'no device has joined'), ids: { wanted: 1, joined: 0 } };
  fake.planning = { status: 422, body: none };
  const waits = await submit();
  t.equal(waits.code, 0);
  t.equal(waits.stdout, 'job_1\n');
  t.match(waits.stderr, /there is no plan yet: no device has joined/);

  fake.asked.length = 0;
  const ids = { shortBytes: 4096 };
  fake.planning = { status: 422, body: { ...problem(422, 'budget_too_small', 'short by 4 KiB'), ids } };
  const refused = await submit('--json');
  t.equal(refused.code, 2);
  t.match(JSON.parse(refused.stdout), { error: { code: 'budget_too_small', shortBytes: 4096 } });
  t.strictSame(fake.asked, ['plan'], 'nothing was submitted');
});

t.test('status shows predictions, and measurements beside them', async (t) => {
  const [fake, url] = await coordinator(t);
  const device = {
    device: 'host/cpu:0',
    stages: [0, 2],
    samplesPerStep: 8,
    budgetBytes: 2 ** 30,
    predictedPeakBytes: 2 ** 28,
    measuredPeakBytes: null,
    predictedBusySeconds: 0.1,
    measuredBusySeconds: null,
    measuredStepSeconds: null,
  };
  fake.job = {
    performance: { predictedStepSeconds: 0.2, measuredStepSeconds: null, devices: [device] },
  };
  const runs = (await command(['status', 'job_1', '--coordinator', url])).stdout;
  t.match(runs, /\npredicted: 200 ms a step\nDEVICE/);
  t.match(runs, /host\/cpu:0 +0, 2 +8 +256 MiB of 1\.00 GiB +100 ms +200 ms\n/);
  const measured = { measuredPeakBytes: 2 ** 29, measuredBusySeconds: 0.11, measuredStepSeconds: 0.22 };
  fake.job = {
    state: 'succeeded',
    performance: {
      predictedStepSeconds: 0.2,
      measuredStepSeconds: 0.22,
      devices: [{ ...device, ...measured }],
    },
  };
  const over = (await command(['status', 'job_1', '--coordinator', url])).stdout;
  t.match(over, /predicted \/ measured: 200 ms \/ 220 ms a step/);
  t.match(over, /256 MiB \/ 512 MiB of 1\.00 GiB +100 ms \/ 110 ms +200 ms \/ 220 ms/);
});

t.test('--json is one document, whether the job succeeds or fails', async (t) => {
  const [fake, url] = await coordinator(t);
  const folder = t.testdir(FILES);
  const args = ['submit', 'job.yaml', '--follow', '--json', '--coordinator', url];
  fake.streams = [jobEvent(1, { state: 'succeeded', output: { directory: '/there', delivered: true } })];
  const good = await command(args, { cwd: folder });
  t.equal(good.code, 0, good.stderr);
  t.match(JSON.parse(good.stdout), { id: 'job_1', state: 'succeeded', output: { directory: '/there' } });

  const error = { code: 'executor_died', message: 'host/cpu:1 died', device: 'host/cpu:1', family: 'peer' };
  fake.streams = [jobEvent(1, { state: 'failed', error })];
  const bad = await command(args, { cwd: folder });
  t.equal(bad.code, 1);
  t.match(JSON.parse(bad.stdout), { state: 'failed', error });
  t.match(bad.stderr, /executor_died.*host\/cpu:1 died/);

  fake.streams = [jobEvent(1, { state: 'failed', error: { ...error, family: 'user' } })];
  t.equal((await command(args, { cwd: folder })).code, 2, "the user's data was wrong");
});

t.test('a refused submission leaves nothing behind, and is told as the coordinator says it', async (t) => {
  const [fake, url] = await coordinator(t);
  const folder = t.testdir(FILES);
  fake.refusal = {
    status: 422,
    body: JSON.stringify(problem(422, 'batch_too_small', 'batch: 4 is too small')),
  };
  const ended = await command(['submit', 'job.yaml', '--json', '--coordinator', url], { cwd: folder });
  t.equal(ended.code, 2);
  t.match(JSON.parse(ended.stdout), {
    error: { code: 'batch_too_small', message: /too small/, field: 'batch' },
  });
  t.notOk(existsSync(join(folder, 'out')));

  fake.refusal = { status: 500, body: '<html>' };
  const other = await command(['submit', 'job.yaml', '--coordinator', url], { cwd: folder });
  t.equal(other.code, 1);
  t.match(other.stderr, /not as a dtrain coordinator/);
});

t.test('Ctrl-C while following leaves the job alone and says how to go on', async (t) => {
  const [fake, url] = await coordinator(t);
  const folder = t.testdir(FILES);
  fake.streams = Array.from({ length: 400 }, () => jobEvent(1, { state: 'running' }));
  const process = new Dtrain(['submit', 'job.yaml', '--follow', '--coordinator', url], { cwd: folder });
  await process.said(/does not answer|running|try/);
  process.signal('SIGINT');
  const { code, stderr } = await process.ended;
  t.equal(code, 130);
  t.match(stderr, /job_1 goes on.*dtrain logs job_1 --follow.*dtrain cancel job_1/);
});

t.test('a mistake in the job file needs no coordinator and names file, line and field', async (t) => {
  const cases: [string, Record<string, unknown>, RegExp][] = [
    [
      'an unknown key',
      { 'job.yaml': JOB.replace('steps:', 'step:') },
      /job\.yaml:8: unknown key "step".*"steps"/,
    ],
    ['no model', { net: {} }, /job\.yaml:3: model: net\/model\.onnx: there is no such file/],
    [
      'a folder as the model',
      { net: { 'model.onnx': {} } },
      /job\.yaml:3: model: net\/model\.onnx: this is a folder/,
    ],
    ['no data', { 'x.npy': {} }, /job\.yaml:4: data\.train\.features: x\.npy: this is a folder/],
  ];
  for (const [name, files, message] of cases) {
    const folder = t.testdir({ ...FILES, ...(files as typeof FILES) });
    const ended = await command(['submit', 'job.yaml', '--coordinator', 'http://127.0.0.1:9'], {
      cwd: folder,
    });
    t.equal(ended.code, 2, name);
    t.match(ended.stderr, message, name);
    t.equal(ended.stdout, '', name);
  }
});

t.test('nothing at the address exits with 3 and names it', async (t) => {
  const folder = t.testdir(FILES);
  for (const line of ['submit job.yaml', 'list', 'status job_1', 'logs x', 'cancel x', 'devices']) {
    const args = [...line.split(' '), '--json', '--coordinator', 'http://127.0.0.1:9'];
    const ended = await command(args, { cwd: folder });
    t.equal(ended.code, 3, line);
    t.match(JSON.parse(ended.stdout), {
      error: { code: 'coordinator_unreachable', coordinator: 'http://127.0.0.1:9' },
    });
    t.match(ended.stderr, /127\.0\.0\.1:9.*dtrain up/, line);
  }
  t.notOk(existsSync(join(folder, 'out')));
});

t.test('the other commands print what the coordinator knows', async (t) => {
  const [, url] = await coordinator(t);
  const env = { DTRAIN_COORDINATOR: url };
  t.match((await command(['list'], { env })).stdout, /^ID .*\njob_1 +running/);
  t.match(JSON.parse((await command(['list', '--json'], { env })).stdout), {
    jobs: [{ id: 'job_1' }],
    cursor: null,
  });
  t.match((await command(['status', 'job_1'], { env })).stdout, /^job +job_1 \(digits\)\nstate +running/);
  const unknown = await command(['status', 'job_2', '--json'], { env });
  t.equal(unknown.code, 2);
  t.match(JSON.parse(unknown.stdout), { error: { code: 'job_not_found' } });
});
