import { create } from '@bufbuild/protobuf';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { DOUBT_SECONDS, STOP_SECONDS } from '../../../coordinator/launch/index.js';
import { LEASE_SECONDS } from '../../../coordinator/membership/index.js';
import {
  DeviceLostSchema,
  DeviceSchema,
  RankFailedSchema,
  type DeviceRecord,
  type JobRecord,
  type Launch,
} from '../../../protocol/index.js';
import { jobOf, setUp, weightBytes } from '../../integration/coordinator/fixture.js';
import { ScriptedWorker, type Script } from '../../integration/coordinator/scripted-worker.js';
import { FakeClock } from '../../unit/coordinator/fake-clock.js';

const clock = new FakeClock();
const { coordinator, rest, ...setup } = await setUp({ clock });
t.teardown(() => setup.close());

const devices = async () => (await rest.ask<{ devices: DeviceRecord[] }>('GET', '/v1/devices')).body.devices;
const states = async () => (await devices()).map((device) => device.state);
async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
}
const noDevices = () => until(async () => (await devices()).length === 0);
const running = (id: string) => rest.until(id, (job) => job.state === 'running' && job.step > 0);

/** Trains a step, then goes on for ever. */
const endless: Partial<Script> = {
  peers: (worker, launch) => {
    if (launch.rank === 0) worker.step(launch, 1);
  },
};
let names = 0;

/** A worker of each host with one device, and a job that runs on all of them. */
async function train(
  t: { teardown(end: () => void): void },
  hosts: number,
  script: Partial<Script> = endless,
) {
  const workers: ScriptedWorker[] = [];
  for (let i = 0; i < hosts; i++) {
    workers.push(
      await ScriptedWorker.join(coordinator.grpcAddress, {
        name: `h${names++}`,
        script,
        weights: weightBytes,
        heartbeatMs: 20,
      }),
    );
  }
  t.teardown(() => workers.forEach((worker) => worker.close()));
  const { body } = await rest.submit(
    jobOf({ name: `fault ${names}`, parallelism: { data: hosts, pipeline: 1 } }),
  );
  const launched = (worker: ScriptedWorker): Launch => [...worker.launches.values()][0]!.launch;
  return { id: body.id, workers, launched, device: (worker: ScriptedWorker) => `${worker.name}/cpu:0` };
}

const fail = (launch: Launch, family: string, code: string, ids: object = {}) =>
  ({
    case: 'failed',
    value: create(RankFailedSchema, {
      jobId: launch.jobId,
      epoch: 1,
      rank: launch.rank,
      device: launch.device,
      family,
      code,
      message: `${code} happened`,
      idsJson: JSON.stringify(ids),
    }),
  }) as const;

t.test('a session that ends fails the job at once, naming the device; the others are stopped', async (t) => {
  const { id, workers, device } = await train(t, 2);
  await running(id);
  workers[1]!.close();
  const job = await rest.over(id);
  t.match(job, {
    state: 'failed',
    error: { code: 'worker_left', device: device(workers[1]!), family: 'peer' },
  });
  t.match(await workers[0]!.heard('stop'), { value: { jobId: id, epoch: 1 } });
  await until(async () => (await states()).join() === 'free');
  t.ok(existsSync(join(job.output.directory, 'metrics.jsonl')), 'its metrics stay');
  t.notOk(existsSync(join(job.output.directory, 'model.onnx')), 'there is no model');
  workers[0]!.close();
  await noDevices();
});

t.test('a worker that falls silent loses its lease', async (t) => {
  const { id, workers, device } = await train(t, 2);
  await running(id);
  workers[1]!.fallSilent();
  const beats = () => new Promise((resolve) => setTimeout(resolve, 30));
  for (let seconds = 0; seconds < LEASE_SECONDS + 1; seconds += 0.25) {
    await beats(); // the other one is heard meanwhile
    clock.advance(0.25);
  }
  const job = await rest.over(id);
  t.match(job, { state: 'failed', error: { code: 'lease_expired', device: device(workers[1]!) } });
  t.ok(Date.parse(job.endedAt!) - Date.parse(job.startedAt!) <= 5000, 'within five seconds');
  workers.forEach((worker) => worker.close());
  await noDevices();
});

t.test('a lost executor is the cause, though a peer complained before', async (t) => {
  const { id, workers, launched, device } = await train(t, 2);
  await running(id);
  workers[0]!.tell(fail(launched(workers[0]!), 'peer', 'peer_lost', { rank: 0, expectedRank: 1 }));
  workers[0]!.stopped(launched(workers[0]!));
  await until(async () => (await states()).includes('free'));
  t.equal((await rest.job(id)).state, 'running', 'the coordinator waits for the cause');
  const lost = create(DeviceLostSchema, {
    device: device(workers[1]!),
    code: 'executor_died',
    message: 'killed by SIGKILL',
  });
  workers[1]!.tell({ case: 'deviceLost', value: lost });
  t.match(await rest.over(id), {
    state: 'failed',
    error: { code: 'executor_died', device: device(workers[1]!), message: /SIGKILL/ },
  });
  t.strictSame((await states()).sort(), ['free', 'lost']);
  workers[1]!.tell({
    case: 'deviceBack',
    value: create(DeviceSchema, {
      id: device(workers[1]!),
      kind: 'cpu',
      engine: 'e',
      threads: 1,
      memoryBytes: 2 ** 31,
      flops: 1e10,
      convolutionFlops: 1e10,
      memoryBandwidthBytesPerSecond: 1e10,
      launchSeconds: 1e-6,
      speed: 1,
    }),
  });
  await until(async () => (await states()).join() === 'free,free');
  workers.forEach((worker) => worker.close());
  await noDevices();
});

t.test('without another cause the suspect is named when the time of doubt is over', async (t) => {
  const { id, workers, launched, device } = await train(t, 3);
  await running(id);
  const suspect = launched(workers[2]!).rank;
  for (const worker of workers.slice(0, 2))
    worker.tell(fail(launched(worker), 'peer', 'deadline', { expectedRank: suspect }));
  await until(async () => {
    clock.advance(0.1); // the complaints arrive some time; heartbeats go on
    return (await rest.job(id)).endedAt !== null;
  });
  const job = await rest.job(id);
  t.match(job, {
    state: 'failed',
    error: { code: 'deadline', device: device(workers[2]!), message: /does not answer its peers/ },
  });
  t.ok(DOUBT_SECONDS < 5);
  workers.forEach((worker) => worker.close());
  await noDevices();
});

t.test('a rank’s own mistake is told as it is', async (t) => {
  const { id, workers, launched } = await train(t, 2);
  await running(id);
  workers[1]!.tell(fail(launched(workers[1]!), 'user', 'diverged', { step: 3 }));
  t.match(await rest.over(id), {
    state: 'failed',
    error: { code: 'diverged', family: 'user', message: 'diverged happened' },
  });
  const { body } = await rest.ask<{ rows: object[] }>('GET', `/v1/jobs/${id}/logs`);
  t.match(body.rows, [{ level: 'error', message: 'diverged happened', device: null }]);
  workers.forEach((worker) => worker.close());
  await noDevices();
});

t.test('cancel while it runs: over at once, the devices free when their ranks have stopped', async (t) => {
  const stopping: Launch[] = [];
  const { id, workers } = await train(t, 2, { ...endless, stop: (_, launch) => void stopping.push(launch) });
  await running(id);
  t.match(await rest.ask('POST', `/v1/jobs/${id}/cancel`), { status: 202 });
  t.match(await rest.over(id), { state: 'cancelled', step: 1, error: null });
  await until(() => Promise.resolve(stopping.length === 2));
  t.strictSame(await states(), ['busy', 'busy']);
  const next = await rest.submit(jobOf({ name: 'next' }));
  t.match(await rest.job(next.body.id), { state: 'queued' });
  workers[0]!.stopped(stopping.find((launch) => launch.device.startsWith(workers[0]!.name))!);
  const job = await running(next.body.id);
  t.equal(job.devices.length, 1, 'the next job begins on the first device that is free');
  clock.jump(STOP_SECONDS); // as if the coordinator had been busy: leases do not run out by that
  await until(async () => (await states()).join() === 'busy,free');
  t.pass('a rank that never says that it stopped holds its device no longer than the deadline');
  await rest.ask('POST', `/v1/jobs/${next.body.id}/cancel`);
  workers.forEach((worker) => worker.close());
  await noDevices();
});

t.test('a worker that says what cannot be ends the job, not the coordinator', async (t) => {
  const { id, workers } = await train(t, 1, { launch: (worker, launch) => worker.finish(launch, 1) });
  t.match(await rest.over(id), {
    state: 'failed',
    error: { code: 'internal', message: /no transition from "assembling" by "finished"/ },
  });
  workers[0]!.close();
  await noDevices();
});

t.test('weights that are not the model’s', async (t) => {
  const worker = await ScriptedWorker.join(coordinator.grpcAddress, {
    name: 'liar',
    weights: Buffer.from('no weights'),
  });
  t.teardown(() => worker.close());
  const { body } = await rest.submit(jobOf({ name: 'liar' }));
  const job = await rest.over(body.id);
  t.match(job, { state: 'failed', error: { message: /trained weights/ } });
  t.notOk(existsSync(join(job.output.directory, 'model.onnx')));
  worker.close();
  await noDevices();
});

t.test('workers that may not join', async (t) => {
  const older = await ScriptedWorker.join(coordinator.grpcAddress, { name: 'older', version: '0.0.1' });
  t.match(older.received, [{ case: 'refusal', value: { code: 'version_mismatch', message: /0\.0\.1/ } }]);
  const first = await ScriptedWorker.join(coordinator.grpcAddress, { name: 'same' });
  const second = await ScriptedWorker.join(coordinator.grpcAddress, { name: 'same' });
  t.match(second.received, [{ case: 'refusal', value: { code: 'name_taken' } }]);
  t.equal((await devices()).length, 1);
  for (const worker of [older, first, second]) worker.close();
  await noDevices();
});

t.test('first come, first served', async (t) => {
  const started: string[] = [];
  const ids: string[] = [];
  for (const name of ['one', 'two', 'three'])
    ids.push((await rest.submit(jobOf({ name: `line ${name}`, parallelism: { data: 2 } }))).body.id);
  const ends: Promise<JobRecord>[] = ids.map((id) => rest.over(id));
  const worker = await ScriptedWorker.join(coordinator.grpcAddress, {
    name: 'pair',
    devices: [{}, {}],
    weights: weightBytes,
    script: {
      launch: (self, launch) => {
        if (launch.rank === 0) started.push(launch.jobId);
        self.ready(launch);
      },
    },
  });
  t.teardown(() => worker.close());
  for (const end of ends) t.match(await end, { state: 'succeeded' });
  t.strictSame(started, ids);
  worker.close();
  await noDevices();
});
