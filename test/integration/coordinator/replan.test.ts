import { create } from '@bufbuild/protobuf';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createLogger } from '../../../base/index.js';
import { startPrivateRedis } from '../../../coordinator/index.js';
import {
  DeviceLostSchema,
  DeviceSchema,
  RankFailedSchema,
  type JobLogRow,
  type JobRecord,
  type Launch,
  type MetricRow,
  type RunPlan,
} from '../../../protocol/index.js';
import { ranksOf } from '../../../coordinator/job/index.js';
import type { Plan } from '../../../scheduler/index.js';
import { jobOf, setUp, weightBytes } from './fixture.js';
import { honest, ScriptedWorker, type Script } from './scripted-worker.js';

const MIB = 2 ** 20;
const BUDGET = 2 ** 31;
/**
 * What `tooMuch` says was taken. The plan counts little beside the runtime; were it more than the budget, what is beside it
 * would have been taken so many times that the smallest plan did not fit any more.
 */
const TAKEN = 300 * MIB;

const { coordinator, rest, ...setup } = await setUp();
t.teardown(() => setup.close());

/** A rank says that it took too much; with `figures: false` as an arena does that is too small. */
function tooMuch(worker: ScriptedWorker, launch: Launch, plan: RunPlan, figures = true): void {
  const { jobId, epoch, rank, device } = launch;
  const { budgetBytes, accountedBytes: predictedBytes } = plan.ranks[rank]!;
  const ids = figures ? { device, budgetBytes, predictedBytes, measuredBytes: TAKEN, held: [] } : {};
  worker.tell({
    case: 'failed',
    value: create(RankFailedSchema, {
      jobId,
      epoch,
      rank,
      device,
      family: 'user',
      code: 'over_budget',
      message: `${device}: its executor took too much in launch ${epoch}`,
      idsJson: JSON.stringify(ids),
    }),
  });
}

/** Trains two steps of the first launch, then takes too much. */
const greedyOnce: Partial<Script> = {
  peers: async (worker, launch, plan) => {
    if (launch.epoch > 1) return honest.peers(worker, launch, plan);
    for (let step = 1; step <= 2; step++) worker.step(launch, step, { loss: 100 });
    tooMuch(worker, launch, plan);
  },
};

async function joined(
  t: { teardown(end: () => void): void },
  script: Partial<Script>,
  options: { readonly devices?: readonly { readonly memoryBytes?: number }[] } = {},
): Promise<{ worker: ScriptedWorker; launches: { launch: Launch; plan: RunPlan }[] }> {
  const launches: { launch: Launch; plan: RunPlan }[] = [];
  const worker = await ScriptedWorker.join(coordinator.grpcAddress, {
    weights: weightBytes,
    ...options,
    script: {
      ...script,
      launch: (self, launch, plan) => {
        launches.push({ launch, plan });
        return (script.launch ?? honest.launch)(self, launch, plan);
      },
    },
  });
  t.teardown(() => worker.close());
  return { worker, launches };
}

t.test('a job that goes over a budget is planned again, and runs', async (t) => {
  const { launches } = await joined(t, greedyOnce);
  const { body } = await rest.submit(jobOf({ name: 'greedy-once' }));
  const followed: { event: string; data: string }[] = [];
  for await (const event of rest.events(body.id)) followed.push(event);
  const ended = await rest.job(body.id);
  t.match(ended, { state: 'succeeded', step: 8, error: null });
  const [first, second] = launches;
  t.equal(launches.length, 2);
  t.match(first!.launch, { epoch: 1 });
  t.match(second!.launch, { epoch: 2, jobId: body.id });
  const predictedBytes = first!.plan.ranks[0]!.accountedBytes;
  t.strictSame(ended.replanned, {
    at: ended.replanned!.at,
    device: 'host/cpu:0',
    budgetBytes: BUDGET,
    measuredBytes: TAKEN,
    predictedBytes,
    message: 'host/cpu:0: its executor took too much in launch 1',
  });
  t.equal(second!.plan.ranks[0]!.budgetBytes, BUDGET, 'the budget stays what it is');
  t.ok(second!.plan.ranks[0]!.accountedBytes > predictedBytes, 'more is expected');
  t.ok(second!.plan.ranks[0]!.accountedBytes <= BUDGET);
  t.match(ended.explanation[0], /^planned again: host\/cpu:0 took 300(\.0)? MiB where/);
  const { directory } = ended.output;
  const plan = JSON.parse(readFileSync(join(directory, 'plan.json'), 'utf8')) as Plan;
  const { account, predictedPeakBytes } = ranksOf(plan)[0]!.replica;
  t.equal(predictedPeakBytes, second!.plan.ranks[0]!.accountedBytes);
  t.ok(account.some(({ what }) => what === 'measured beyond the account'));

  const { rows } = (await rest.ask<{ rows: MetricRow[] }>('GET', `/v1/jobs/${body.id}/metrics`)).body;
  t.strictSame(
    rows.map(({ step }) => step),
    [1, 2, 3, 4, 5, 6, 7, 8],
    'rows of the second launch alone',
  );
  t.notOk(rows.some(({ loss }) => loss === 100));
  t.equal(readdirSync(join(directory, 'tensorboard')).length, 1);
  const logs = (await rest.ask<{ rows: JobLogRow[] }>('GET', `/v1/jobs/${body.id}/logs`)).body.rows;
  t.match(logs, [{ level: 'error', message: /took too much in launch 1; the job is planned again, once/ }]);

  const of = (kind: string) => followed.filter(({ event }) => event === kind).map(({ data }) => data);
  const steps = of('metric').map((row) => (JSON.parse(row) as MetricRow).step);
  t.strictSame(steps.slice(-8), [1, 2, 3, 4, 5, 6, 7, 8], 'who follows sees all rows of the second launch');
  const last = JSON.parse(of('job').at(-1)!) as JobRecord;
  t.match(last, { state: 'succeeded', replanned: { device: 'host/cpu:0' } });
  t.equal(of('log').length, 1);
});

t.test('the second time it fails, and says both', async (t) => {
  const { launches } = await joined(t, { peers: tooMuch });
  const { body } = await rest.submit(jobOf({ name: 'greedy' }));
  const ended = await rest.over(body.id);
  t.match(ended, {
    state: 'failed',
    error: {
      family: 'user',
      code: 'over_budget',
      device: 'host/cpu:0',
      message:
        /too much in launch 2\. This was its second plan; the first ended with: .* too much in launch 1$/,
    },
    replanned: { message: /in launch 1/ },
  });
  t.equal(launches.length, 2);
});

t.test('what fits nowhere then is refused, with both reasons', async (t) => {
  const { launches } = await joined(t, { peers: tooMuch }, { devices: [{ memoryBytes: 209 * MIB }] });
  const { body } = await rest.submit(jobOf({ name: 'no-room' }));
  const ended = await rest.over(body.id);
  t.match(ended, {
    state: 'failed',
    devices: [],
    error: {
      family: 'user',
      code: 'over_budget',
      device: 'host/cpu:0',
      message: /in launch 1\. Planned again with what was measured there: .*budget/,
    },
  });
  t.equal(launches.length, 1);
});

t.test('without figures there is nothing to plan with', async (t) => {
  const { launches } = await joined(t, {
    peers: (worker, launch, plan) => tooMuch(worker, launch, plan, false),
  });
  const { body } = await rest.submit(jobOf({ name: 'arena' }));
  t.match(await rest.over(body.id), { state: 'failed', error: { code: 'over_budget' }, replanned: null });
  t.equal(launches.length, 1);
});

t.test('a cancel that comes while the ranks stop', async (t) => {
  let stopping: () => void;
  const stops = new Promise<void>((resolve) => (stopping = resolve));
  const { worker, launches } = await joined(t, { ...greedyOnce, stop: () => stopping() });
  const { body } = await rest.submit(jobOf({ name: 'cancelled' }));
  await stops;
  await rest.ask('POST', `/v1/jobs/${body.id}/cancel`);
  t.match(await rest.job(body.id), { state: 'running' }, 'the rank holds its device');
  worker.stopped(launches[0]!.launch);
  t.match(await rest.over(body.id), { state: 'cancelled', replanned: null });
  t.equal(launches.length, 1);
  const { body: next } = await rest.submit(jobOf({ name: 'next' }));
  while (launches.length < 2) await once(worker, 'message');
  await rest.ask('POST', `/v1/jobs/${next.id}/cancel`);
  const last = launches.at(-1)!.launch;
  t.equal(last.jobId, next.id, 'the device is free');
  worker.stopped(last);
  await rest.over(next.id);
});

/** The executor of a device dies, and is not back yet. */
function lose(worker: ScriptedWorker, device: string): void {
  const told = { device, code: 'over_budget', message: `${device}: it was killed` };
  worker.tell({ case: 'deviceLost', value: create(DeviceLostSchema, told) });
}

function back(worker: ScriptedWorker, id: string): void {
  const rates = {
    flops: 1e10,
    convolutionFlops: 1e10,
    memoryBandwidthBytesPerSecond: 1e10,
    launchSeconds: 1e-6,
  };
  const about = { id, kind: 'cpu', engine: 'onnxruntime', threads: 1, memoryBytes: BUDGET, speed: 1 };
  worker.tell({ case: 'deviceBack', value: create(DeviceSchema, { ...about, ...rates }) });
}

const killed: Partial<Script> = {
  ...greedyOnce,
  peers: async (worker, launch, plan) => {
    await greedyOnce.peers!(worker, launch, plan);
    if (launch.epoch === 1) lose(worker, launch.device);
  },
};

t.test('a device whose executor was killed is waited for, though another is free', async (t) => {
  // the other is too small for the job: on it alone it would be refused
  const devices = [{}, { memoryBytes: 100 * MIB }];
  const { worker, launches } = await joined(t, killed, { devices });
  const { body } = await rest.submit(jobOf({ name: 'killed' }));
  const waiting = await rest.until(body.id, ({ state, replanned }) => state === 'queued' && !!replanned);
  t.match(waiting, { state: 'queued', step: 0, devices: [] });
  t.match(await rest.job(body.id), { explanation: ['waits: host/cpu:0 is being started anew'] });
  back(worker, 'host/cpu:0');
  t.match(await rest.over(body.id), { state: 'succeeded', devices: ['host/cpu:0'] });
  t.equal(launches.length, 2);
});

t.test('a coordinator that ends while such a job waits: the next one knows what was measured', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-coordinator-'));
  const logger = createLogger('test', 'silent');
  const redis = await startPrivateRedis({ dataDir: join(folder, 'redis'), logger });
  t.teardown(async () => {
    await redis.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const first = await setUp({ redis, folder });
  const worker = await ScriptedWorker.join(first.coordinator.grpcAddress, {
    weights: weightBytes,
    script: killed,
  });
  const { body } = await first.rest.submit(jobOf({ name: 'restarted' }));
  await first.rest.until(body.id, ({ state, replanned }) => state === 'queued' && !!replanned);
  const predicted = [...worker.launches.values()][0]!.plan.ranks[0]!.accountedBytes;
  worker.close();
  await first.close();

  const second = await setUp({ redis, folder });
  t.teardown(() => second.close());
  t.match(await second.rest.job(body.id), { state: 'queued', replanned: { measuredBytes: TAKEN } });
  const other = await ScriptedWorker.join(second.coordinator.grpcAddress, { weights: weightBytes });
  t.teardown(() => other.close());
  t.match(await second.rest.over(body.id), { state: 'succeeded', replanned: { device: 'host/cpu:0' } });
  const { launch, plan } = [...other.launches.values()][0]!;
  t.equal(launch.epoch, 2);
  t.ok(plan.ranks[0]!.accountedBytes > predicted);
});

t.test('one that ends while the ranks stop: the job has failed for that', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-coordinator-'));
  const logger = createLogger('test', 'silent');
  const redis = await startPrivateRedis({ dataDir: join(folder, 'redis'), logger });
  t.teardown(async () => {
    await redis.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const first = await setUp({ redis, folder });
  let stopping: () => void;
  const stops = new Promise<void>((resolve) => (stopping = resolve));
  const worker = await ScriptedWorker.join(first.coordinator.grpcAddress, {
    weights: weightBytes,
    script: { ...greedyOnce, stop: () => stopping() },
  });
  const { body } = await first.rest.submit(jobOf({ name: 'stopped' }));
  await stops;
  const closed = first.close();
  worker.stopped([...worker.launches.values()][0]!.launch);
  await closed;
  worker.close();
  const second = await setUp({ redis, folder });
  t.teardown(() => second.close());
  t.match(await second.rest.job(body.id), { state: 'failed', error: { code: 'coordinator_stopped' } });
});
