import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { createLogger, type DtrainError } from '../../../base/index.js';
import { linear, model, sequential, tensor } from '../../../graph/nn/index.js';
import { encodeRunPlan, type RunPlan } from '../../../protocol/index.js';
import { ExecutorProcess } from '../../../worker/daemon/index.js';
import { parseDeviceSpec, resolveDevices } from '../../../worker/index.js';
import { isAlive } from '../../e2e/process.js';
import { DaemonFixture } from '../../integration/worker/daemon-fixture.js';
import { planOf } from '../../integration/worker/plans.js';
import type { ScriptedCoordinator } from '../../integration/worker/scripted-coordinator.js';
import { FakeClock } from '../../unit/collectives/fake-clock.js';

t.setTimeout(120_000);
const MIB = 2 ** 20;

async function setUp(t: { teardown(end: () => Promise<void>): void }): Promise<DaemonFixture> {
  const fixture = await DaemonFixture.start();
  t.teardown(() => fixture.close());
  return fixture;
}

/** A plan whose steps take some 64 KB for each of its samples, and as much for their gradients. */
function wide(fixture: DaemonFixture, jobId: string, samples: number, microBatches = 1): RunPlan {
  const { graph } = model({ input: tensor(6), layers: sequential(linear(16384), linear(4)) });
  const { artifacts } = fixture;
  const batch = samples * microBatches;
  const plan = planOf(artifacts.model(graph), artifacts.table(batch, 6, 4), [batch], {
    jobId,
    totalSteps: 1_000_000,
  });
  fixture.offer();
  const parts = Array<number>(microBatches).fill(samples);
  const rank = {
    ...plan.ranks[0]!,
    samples: parts,
    device: 'host/cpu:0',
    host: 'host',
    accountedBytes: 100 * MIB,
  };
  return { ...plan, pipeline: { ...plan.pipeline, microBatches }, ranks: [rank] };
}

/** As `train`, of a run that may fail before it is ready. */
async function begin(coordinator: ScriptedCoordinator, plan: RunPlan): Promise<void> {
  await Promise.race([coordinator.train(plan, 'host/cpu:0'), coordinator.heard('failed')]);
}

t.test(
  'a run that takes more than its budget is stopped, with what took it; the next one runs',
  async (t) => {
    const fixture = await setUp(t);
    const { coordinator } = fixture;
    await fixture.daemon({ devices: ['cpu:0,memory=256MiB,threads=1'] });
    await begin(coordinator, wide(fixture, 'job_wide', 1500));
    const failed = await coordinator.heard('failed');
    t.comment(failed.message);
    t.match(failed, { jobId: 'job_wide', device: 'host/cpu:0', family: 'user', code: 'over_budget' });
    const ids = JSON.parse(failed.idsJson) as {
      measuredBytes: number;
      held: { what: string; bytes: number }[];
    };
    t.match(ids, { device: 'host/cpu:0', budgetBytes: 256 * MIB, predictedBytes: 100 * MIB });
    t.ok(ids.measuredBytes > 1.1 * 256 * MIB);
    const names = ids.held.map(({ what }) => what).join('; ');
    t.match(names, /parameters 0/);
    t.match(names, /gradients 0/);
    t.match(names, /parameters of the engine/);
    t.match(names, /activations of training with 1500 samples \(largest: /);

    await Promise.race([coordinator.heard('stopped'), coordinator.heard('deviceBack')]);
    await coordinator.train(fixture.plan('job_small', 3), 'host/cpu:0');
    await coordinator.heard('finished', ({ jobId }) => jobId === 'job_small');
    t.equal(coordinator.received.filter((message) => message.case === 'failed').length, 1);
  },
);

t.test('a step of many micro-batches is left between two of them', async (t) => {
  const fixture = await setUp(t);
  const { coordinator } = fixture;
  await fixture.daemon({ devices: ['cpu:0,memory=256MiB,threads=1'] });
  await begin(coordinator, wide(fixture, 'job_wide', 1500, 40));
  const ready = performance.now();
  t.match(await coordinator.heard('failed'), { code: 'over_budget' });
  t.comment(`${(performance.now() - ready).toFixed(0)} ms`);
  t.notOk(
    coordinator.received.some((message) => message.case === 'step'),
    'the step was not done',
  );
});

t.test(
  'one at twice its budget is killed and started anew; the run failed for the same reason',
  async (t) => {
    const fixture = await setUp(t);
    const { coordinator } = fixture;
    await fixture.daemon({ devices: ['cpu:0,memory=256MiB,threads=1'] });
    const { pid } = fixture.executors()[0]!;
    await begin(coordinator, wide(fixture, 'job_wide', 5000));
    const failed = await coordinator.heard('failed');
    t.match(failed, {
      jobId: 'job_wide',
      rank: 0,
      device: 'host/cpu:0',
      family: 'user',
      code: 'over_budget',
    });
    const ids = JSON.parse(failed.idsJson) as { measuredBytes: number };
    // on a slow machine it may be found at less, before it grows on to that
    t.ok(ids.measuredBytes > 1.1 * 256 * MIB);
    t.match(ids, { budgetBytes: 256 * MIB, predictedBytes: 100 * MIB });
    t.match(await coordinator.heard('deviceLost'), { device: 'host/cpu:0', code: 'over_budget' });
    const told = coordinator.received.map((message) => message.case);
    t.ok(told.indexOf('failed') < told.indexOf('deviceLost'), 'the reason first');
    await coordinator.heard('deviceBack');
    t.notOk(isAlive(pid));
    await coordinator.train(fixture.plan('job_small', 3), 'host/cpu:0');
    await coordinator.heard('finished', ({ jobId }) => jobId === 'job_small');
    t.equal(coordinator.received.filter((message) => message.case === 'failed').length, 1);
  },
);

t.test('one that holds too much when its run is over is replaced, and its run fails once', async (t) => {
  const fixture = await setUp(t);
  const { coordinator } = fixture;
  // an executor that does nothing takes about 90 MiB
  await fixture.daemon({ devices: ['cpu:0,memory=56MiB,threads=1'] });
  await begin(coordinator, fixture.plan('job_a'));
  const failed = await coordinator.heard('failed');
  t.match(failed, { code: 'over_budget' });
  const { measuredBytes } = JSON.parse(failed.idsJson) as { measuredBytes: number };
  t.ok(measuredBytes > 56 * MIB); // told to stop or, where it grew faster than it was looked at, killed: the device comes back
  t.match(await coordinator.heard('deviceLost'), { code: 'over_budget' });
  await coordinator.heard('deviceBack');
  t.equal(coordinator.received.filter((message) => message.case === 'failed').length, 1);
});

t.test('one whose main thread stands still is watched from outside', async (t) => {
  const scratch = mkdtempSync(join(tmpdir(), 'dtrain-test-'));
  t.teardown(() => rmSync(scratch, { recursive: true, force: true }));
  const fixture = await setUp(t);
  const clock = new FakeClock();
  const [resolved] = resolveDevices('host', [parseDeviceSpec('cpu:0,threads=1,memory=1GiB')], {
    cores: 1,
    memoryBytes: 0,
  });
  const device = { ...resolved! };
  const { executor } = await ExecutorProcess.start(
    { device, listenHost: '127.0.0.1', scratch },
    clock,
    createLogger('test', 'silent'),
    new AbortController().signal,
  );
  t.teardown(() => executor.close(0));
  let launched: () => void;
  const fetching = new Promise<void>((resolve) => (launched = resolve));
  let lose: (error: DtrainError) => void;
  const lost = new Promise<DtrainError>((resolve) => (lose = resolve));
  executor.listen({
    message: (message) => {
      if (message.kind === 'beat' && message.phase === 'fetching') launched();
    },
    lost: (error) => lose(error),
  });
  const run = { jobId: 'job_a', epoch: 1, rank: 0 };
  const plan = encodeRunPlan(wide(fixture, 'job_a', 6));
  Object.assign(device, { memoryBytes: 8 * MIB, hostBytes: 8 * MIB }); // the process itself was told of more
  clock.advance(0.5);
  t.ok(isAlive(executor.pid!), 'idle, it is let be');
  executor.send({ kind: 'launch', run, plan });
  await fetching;
  process.kill(executor.pid!, 'SIGSTOP');
  clock.advance(0.3);
  const error = await lost;
  t.match(error, { family: 'user', code: 'over_budget' });
  t.match(error.ids, { device: 'host/cpu:0', budgetBytes: 8 * MIB, predictedBytes: 100 * MIB, held: [] });
  t.ok((error.ids['measuredBytes'] as number) > 16 * MIB);
  await executor.exited;
});
