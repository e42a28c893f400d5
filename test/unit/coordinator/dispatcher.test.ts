import { create } from '@bufbuild/protobuf';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createLogger, UserError, version } from '../../../base/index.js';
import { ArtifactStore } from '../../../coordinator/artifacts/index.js';
import { Dispatcher, planQuestion, type PlanJob } from '../../../coordinator/dispatch/index.js';
import { HostError } from '../../../coordinator/errors.js';
import { JobBoard, MemoryJobStore, type JobLedger, type Overrun } from '../../../coordinator/job/index.js';
import { Members } from '../../../coordinator/membership/index.js';
import {
  DeviceLostSchema,
  DeviceSchema,
  HeartbeatSchema,
  HelloSchema,
  RankFailedSchema,
  RankStoppedSchema,
  type JobSpec,
} from '../../../protocol/index.js';
import { makePlan, type Device, type Plan } from '../../../scheduler/index.js';
import { FakeClock } from './fake-clock.js';
import { heavy, job, submitted } from './samples.js';

/** A question that the planner has not answered yet. */
interface Asked {
  readonly name: string;
  readonly devices: readonly string[];
  readonly overrun: Overrun | undefined;
  /** Answers as the planner would, then lets the dispatcher go on. */
  answer(error?: Error): Promise<void>;
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

const planned = async (spec: JobSpec, devices: readonly Device[]): Promise<Plan> => {
  await Promise.resolve();
  return makePlan(planQuestion(spec, heavy, devices, { links: [] }));
};

async function setUp(t: Test) {
  const clock = new FakeClock();
  const logger = createLogger('test', 'silent');
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-dispatcher-'));
  const store = new MemoryJobStore();
  const board = new JobBoard(store, { isUp: true, onChange: () => () => undefined }, logger, () => undefined);
  const asked: Asked[] = [];
  const members: Members = new Members(clock, logger, {
    rank: (tenant, device, message) => dispatcher.rank(tenant, device, message),
    beat: () => undefined,
    lost: (tenant, failure) => dispatcher.lost(tenant, failure),
    changed: () => queueMicrotask(() => dispatcher.advance()),
  });
  const plan: PlanJob = (spec, _model, devices, about) =>
    new Promise<Plan>((resolve, reject) => {
      const answer = async (error?: Error): Promise<void> => {
        if (error) reject(error);
        else resolve(planned(spec, devices));
        await settled();
      };
      asked.push({ name: spec.name, devices: devices.map(({ id }) => id), overrun: about?.overrun, answer });
    });
  const dispatcher: Dispatcher = new Dispatcher({
    board,
    members,
    plan,
    artifacts: await ArtifactStore.open(`${folder}/artifacts`),
    exportModel: () => Promise.resolve(),
    mergeWeights: () => Promise.resolve(),
    jobsDir: `${folder}/jobs`,
    clock,
    logger,
  });
  t.teardown(async () => {
    const closed = dispatcher.close(new HostError('coordinator_stopped', 'the test is over'));
    members.close();
    clock.advance(60);
    await closed;
    // an output folder may still be on its way
    rmSync(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 20 });
  });
  let at = 0;
  const admit = async (name: string, change: Partial<JobSpec> = {}): Promise<JobLedger> => {
    mkdirSync(`${folder}/jobs/${name}`, { recursive: true });
    const first = {
      ...submitted(name, ++at),
      job: { ...job, name, ...change },
      output: { directory: `${folder}/${name}`, delivered: false },
    };
    await store.create(first, { same: name });
    const ledger = board.begin(first);
    dispatcher.admit(ledger);
    return ledger;
  };
  const joins = (name: string, count = 1) => {
    const devices = Array.from({ length: count }, (_, i) =>
      create(DeviceSchema, {
        id: `${name}/cpu:${i}`,
        kind: 'cpu',
        engine: 'onnxruntime',
        threads: 1,
        memoryBytes: 2 ** 30,
        flops: 1e10,
        convolutionFlops: 1e10,
        memoryBandwidthBytesPerSecond: 1e10,
        launchSeconds: 1e-6,
        speed: 1,
      }),
    );
    const channel = { send: () => undefined, end: () => undefined };
    const session = members.join(create(HelloSchema, { version, name, pid: 1, devices }), channel)!;
    return settled().then(() => session);
  };
  const devicesOf = ({ job: now }: JobLedger) =>
    'plan' in now ? now.plan.stages.flatMap(({ replicas }) => replicas.map(({ device }) => device)) : [];
  return { clock, dispatcher, asked, admit, join: joins, devicesOf };
}

t.test('jobs are planned one at a time, in the order in which they came', async (t) => {
  const { dispatcher, asked, admit, join, devicesOf } = await setUp(t);
  const first = await admit('first', { parallelism: { data: 1, pipeline: 1 } });
  const second = await admit('second');
  t.strictSame(asked, [], 'there is nothing to plan with');
  t.match(dispatcher.whyWaiting('first'), /no device has joined/);
  await join('host', 2);
  t.match(asked, [{ name: 'first', devices: ['host/cpu:0', 'host/cpu:1'] }]);
  t.match(dispatcher.whyWaiting('first'), /being planned for 2 devices/);
  t.match(dispatcher.whyWaiting('second'), /behind first/);
  dispatcher.advance();
  t.equal(asked.length, 1, 'once');
  await asked[0]!.answer();
  t.equal(first.job.state, 'starting');
  t.equal(devicesOf(first).length, 1);
  t.match(asked[1], { name: 'second' });
  t.equal(asked[1]!.devices.length, 1, 'on what the first left');
  t.not(asked[1]!.devices[0], devicesOf(first)[0]);
  await asked[1]!.answer();
  t.equal(second.job.state, 'starting');
});

t.test('the answer for a job that was cancelled meanwhile is dropped', async (t) => {
  const { dispatcher, asked, admit, join } = await setUp(t);
  await join('host');
  const first = await admit('first');
  const second = await admit('second');
  dispatcher.cancel(first);
  t.equal(first.job.state, 'cancelled');
  t.equal(asked.length, 1, 'the planner is still at it');
  await asked[0]!.answer();
  t.equal(first.job.state, 'cancelled');
  t.match(asked[1], { name: 'second' });
  await asked[1]!.answer();
  t.equal(second.job.state, 'starting');
});

t.test('a device that vanished while it was planned with: planned again', async (t) => {
  const { asked, admit, join, devicesOf } = await setUp(t);
  const [stays, goes] = [await join('stays'), await join('goes')];
  t.ok(stays);
  const ledger = await admit('job');
  t.strictSame(asked[0]!.devices, ['stays/cpu:0', 'goes/cpu:0']);
  goes.left('its process ended');
  await asked[0]!.answer();
  t.equal(ledger.job.state, 'queued');
  t.strictSame(asked[1]!.devices, ['stays/cpu:0']);
  await asked[1]!.answer();
  t.strictSame(devicesOf(ledger), ['stays/cpu:0']);
});

t.test('one that vanished after the launch fails the job, by name', async (t) => {
  const { asked, admit, join } = await setUp(t);
  await join('stays');
  const goes = await join('goes');
  const ledger = await admit('job', { parallelism: { data: 2, pipeline: 1 } });
  await asked[0]!.answer();
  t.equal(ledger.job.state, 'starting');
  goes.left('its process ended');
  while (ledger.job.state === 'starting') await settled();
  t.match(ledger.job, {
    state: 'failed',
    error: { code: 'worker_left', device: 'goes/cpu:0', message: /goes\/cpu:0: its process ended/ },
  });
});

t.test('a device that joined meanwhile is for the next job', async (t) => {
  const { asked, admit, join, devicesOf } = await setUp(t);
  await join('old');
  const ledger = await admit('job');
  await join('new');
  await asked[0]!.answer();
  t.strictSame(devicesOf(ledger), ['old/cpu:0']);
  t.equal(asked.length, 1);
});

t.test('who waits for devices to join lets others pass; who waits for busy ones does not', async (t) => {
  const { dispatcher, asked, admit, join, devicesOf } = await setUp(t);
  await join('host', 2);
  const three = await admit('three', { parallelism: { data: 3 } });
  const one = await admit('one', { parallelism: { data: 1, pipeline: 1 } });
  await asked[0]!.answer();
  t.match(dispatcher.whyWaiting('three'), /asks for 3 devices, but 2 have joined/);
  await asked[1]!.answer();
  t.equal(one.job.state, 'starting');
  t.equal(three.job.state, 'queued');

  await admit('two', { parallelism: { data: 2, pipeline: 1 } });
  t.strictSame(asked[2]!.name, 'three', 'on the device that is free now');
  await asked[2]!.answer();
  t.match(asked[3], { name: 'two', devices: [String] }, 'on the free one');
  await asked[3]!.answer();
  t.match(asked[4], { name: 'two', devices: [String, String] }, 'on all: would it fit if it waited?');
  await asked[4]!.answer();
  const small = await admit('small');
  t.match(dispatcher.whyWaiting('two'), /not enough devices are free/);
  t.match(dispatcher.whyWaiting('small'), /behind two/);
  dispatcher.cancel(one);
  t.ok(devicesOf(one).length);
  t.equal(small.job.state, 'queued');
  t.equal(asked.length, 5, 'nothing is planned twice');
});

t.test('a planner that fails fails the job that it planned, and no other', async (t) => {
  const { asked, admit, join } = await setUp(t);
  await join('host');
  const [broken, tiny, fine] = [await admit('broken'), await admit('tiny'), await admit('fine')];
  await asked[0]!.answer(new HostError('preparation_failed', 'its thread ended'));
  t.match(broken.job, { state: 'failed', error: { family: 'peer', code: 'preparation_failed' } });
  await asked[1]!.answer(new TypeError('a mistake of ours'));
  t.match(tiny.job, { state: 'failed', error: { family: 'bug', code: 'internal' } });
  await asked[2]!.answer();
  t.equal(fine.job.state, 'starting');
});

t.test('nothing starts after the end', async (t) => {
  const { dispatcher, asked, admit, join } = await setUp(t);
  await join('host');
  const ledger = await admit('job');
  await dispatcher.close(new HostError('coordinator_stopped', 'the end'));
  await asked[0]!.answer();
  t.equal(ledger.job.state, 'queued');
});

t.test('a job that is planned again waits for its device, but not for ever', async (t) => {
  const { clock, dispatcher, asked, admit, join, devicesOf } = await setUp(t);
  const session = await join('host', 2);
  const ledger = await admit('greedy', { parallelism: { data: 1, pipeline: 1 } });
  const other = await admit('other', { parallelism: { data: 1, pipeline: 1 } });
  await asked[0]!.answer();
  await asked[1]!.answer();
  t.equal(other.job.state, 'starting');
  const [device] = devicesOf(ledger);
  const ids = { device, budgetBytes: 2 ** 30, measuredBytes: 1.2 * 2 ** 30, predictedBytes: 0 };
  const failed = { jobId: 'greedy', epoch: 1, rank: 0, device: device!, family: 'user', code: 'over_budget' };
  session.receive({
    case: 'failed',
    value: create(RankFailedSchema, { ...failed, message: 'it took too much', idsJson: JSON.stringify(ids) }),
  });
  const lost = { device: device!, code: 'over_budget', message: 'it was killed' };
  session.receive({ case: 'deviceLost', value: create(DeviceLostSchema, lost) });
  while (ledger.job.state !== 'queued') await settled();
  await settled();
  t.match(ledger.job, { replanned: { device, epoch: 1, message: 'it took too much' } });
  dispatcher.cancel(other);
  session.receive({
    case: 'stopped',
    value: create(RankStoppedSchema, { jobId: 'other', epoch: 1, rank: 0 }),
  });
  while (other.job.state !== 'cancelled' || dispatcher.running > 0) await settled();
  dispatcher.advance();
  t.equal(dispatcher.whyWaiting('greedy'), `${device!} is being started anew`, 'though the other is free');
  t.equal(asked.length, 2);
  const beats = (seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      session.receive({ case: 'heartbeat', value: create(HeartbeatSchema, { ranks: [] }) });
      clock.advance(1);
    }
  };
  beats(29);
  t.equal(asked.length, 2);
  beats(2);
  t.match(asked[2], { name: 'greedy', overrun: { device, measuredBytes: 1.2 * 2 ** 30 } });
  t.strictSame(
    asked[2]!.devices,
    ['host/cpu:0', 'host/cpu:1'].filter((id) => id !== device),
  );
  await asked[2]!.answer(new UserError('budget_too_small', 'it fits nowhere'));
  t.match(ledger.job, {
    state: 'failed',
    error: {
      code: 'over_budget',
      device,
      message: 'it took too much. Planned again with what was measured there: it fits nowhere',
    },
  });
});
