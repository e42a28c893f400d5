import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { createLogger, version } from '../../../base/index.js';
import { Members, type Tenant } from '../../../coordinator/membership/index.js';
import {
  DeviceLostSchema,
  DeviceSchema,
  HeartbeatSchema,
  HelloSchema,
  RankBeatSchema,
  StepReportSchema,
  type ToWorker,
} from '../../../protocol/index.js';
import { FakeClock } from './fake-clock.js';

const wire = (id: string) =>
  create(DeviceSchema, {
    id,
    kind: 'cpu',
    engine: 'onnxruntime',
    threads: 1,
    memoryBytes: 1e9,
    flops: 1e9,
    convolutionFlops: 1e9,
    memoryBandwidthBytesPerSecond: 1e10,
    launchSeconds: 1e-6,
    speed: 1,
  });
const hello = (name: string, count = 1) =>
  create(HelloSchema, {
    version,
    name,
    pid: 1,
    devices: Array.from({ length: count }, (_, i) => wire(`${name}/cpu:${i}`)),
  });

function setUp() {
  const clock = new FakeClock();
  const told: string[] = [];
  const members = new Members(clock, createLogger('test', 'silent'), {
    rank: (tenant, device, message) =>
      told.push(`${message.case} of ${tenant.jobId}/${tenant.rank} on ${device}`),
    lost: (tenant, failure) =>
      told.push(`lost ${failure.device} of ${tenant.jobId}/${tenant.rank}: ${failure.code}`),
    beat: (tenant, step) => told.push(`${tenant.jobId}/${tenant.rank} at ${step}`),
    changed: () => undefined,
  });
  const join = (name: string, count = 1) => {
    const sent: ToWorker['message'][] = [];
    const state = { ended: false };
    const channel = { send: ({ message }: ToWorker) => sent.push(message), end: () => (state.ended = true) };
    return { session: members.join(hello(name, count), channel), sent, state };
  };
  return { clock, members, told, join };
}

const tenant = (rank: number): Tenant => ({ jobId: 'job_1', epoch: 1, rank });
const heartbeat = { case: 'heartbeat', value: create(HeartbeatSchema, { ranks: [] }) } as const;
const step = (rank: number, epoch = 1, jobId = 'job_1') =>
  ({ case: 'step', value: create(StepReportSchema, { jobId, epoch, rank, step: 1 }) }) as const;

t.test('joining and leaving', (t) => {
  const { members, join } = setUp();
  const old = join('old', 2);
  t.match(old.sent, [{ case: 'welcome', value: { leaseSeconds: 3, heartbeatSeconds: 0.5 } }]);
  t.strictSame(
    members.devices().map((device) => device.id),
    ['old/cpu:0', 'old/cpu:1'],
  );
  const twin = join('old');
  t.equal(twin.session, undefined);
  t.match(twin.sent, [{ case: 'refusal', value: { code: 'name_taken' } }]);
  t.ok(twin.state.ended);
  old.session!.left('it went');
  t.strictSame(members.devices(), []);
  t.ok(join('old').session, 'the name is free again');
  t.end();
});

t.test('a silent worker loses its lease, and the run hears of it', (t) => {
  const { clock, members, told, join } = setUp();
  const quiet = join('quiet');
  const lively = join('lively');
  members.occupy('quiet/cpu:0', tenant(0));
  for (let i = 0; i < 8; i++) {
    lively.session!.receive(heartbeat);
    clock.advance(0.5);
  }
  t.strictSame(told, ['lost quiet/cpu:0 of job_1/0: lease_expired']);
  t.ok(quiet.state.ended);
  t.strictSame(
    members.devices().map((device) => device.id),
    ['lively/cpu:0'],
  );
  quiet.session!.receive(step(0));
  t.equal(told.length, 1, 'what it says later is not heard');
  t.end();
});

t.test('a coordinator that was stopped itself blames nobody', (t) => {
  const { clock, members, told, join } = setUp();
  const one = join('one');
  members.occupy('one/cpu:0', tenant(0));
  clock.advance(1);
  clock.jump(20);
  one.session!.receive(heartbeat);
  clock.advance(1);
  t.strictSame(told, []);
  t.equal(members.count, 1);
  t.end();
});

t.test('a worker speaks for its own ranks only', (t) => {
  const { members, told, join } = setUp();
  const [a, b] = [join('a'), join('b')];
  members.occupy('a/cpu:0', tenant(0));
  members.occupy('b/cpu:0', tenant(1));
  a.session!.receive(step(0));
  b.session!.receive(step(1));
  t.strictSame(told.splice(0), ['step of job_1/0 on a/cpu:0', 'step of job_1/1 on b/cpu:0']);
  b.session!.receive(step(0));
  a.session!.receive(step(0, 2));
  a.session!.receive(step(0, 1, 'job_2'));
  t.strictSame(told, [], 'another’s rank, another epoch, another job');
  members.release('a/cpu:0', { jobId: 'job_1', epoch: 2 });
  t.strictSame(
    members.free().map((device) => device.id),
    [],
    'of another epoch',
  );
  members.release('a/cpu:0', { jobId: 'job_1', epoch: 1 });
  t.strictSame(
    members.free().map((device) => device.id),
    ['a/cpu:0'],
  );
  a.session!.receive(step(0));
  t.strictSame(told, [], 'it runs nothing any more');
  t.end();
});

t.test('a lost device comes back', (t) => {
  const { members, told, join } = setUp();
  const { session } = join('a', 2);
  members.occupy('a/cpu:1', tenant(1));
  const ids = create(DeviceLostSchema, {
    device: 'a/cpu:1',
    code: 'executor_died',
    message: 'a/cpu:1: it died',
  });
  session!.receive({ case: 'deviceLost', value: ids });
  t.strictSame(told, ['lost a/cpu:1 of job_1/1: executor_died']);
  t.strictSame(
    members.records().map((record) => record.state),
    ['free', 'lost'],
  );
  t.strictSame(
    members.free().map((device) => device.id),
    ['a/cpu:0'],
  );
  session!.receive({ case: 'deviceBack', value: wire('a/cpu:1') });
  t.strictSame(
    members.free().map((device) => device.id),
    ['a/cpu:0', 'a/cpu:1'],
  );
  members.occupy('a/cpu:0', tenant(0));
  session!.receive({ case: 'deviceBack', value: wire('a/cpu:0') });
  t.equal(
    told.at(-1),
    'lost a/cpu:0 of job_1/0: executor_died',
    'a new executor means that the old one is gone',
  );
  session!.receive({ case: 'deviceBack', value: wire('b/cpu:0') });
  t.equal(members.devices().length, 2, 'it cannot bring another’s device');
  t.end();
});

t.test('heartbeats tell phase and step', (t) => {
  const { clock, members, told, join } = setUp();
  const { session } = join('a');
  members.occupy('a/cpu:0', tenant(0));
  const beat = create(RankBeatSchema, { jobId: 'job_1', epoch: 1, rank: 0, step: 7, phase: 'training' });
  session!.receive({ case: 'heartbeat', value: create(HeartbeatSchema, { ranks: [beat] }) });
  t.strictSame(told, ['job_1/0 at 7']);
  clock.advance(0.5);
  t.match(members.records(), [
    { state: 'busy', job: 'job_1', rank: 0, phase: 'training', step: 7, heartbeatAgeSeconds: 0.5 },
  ]);
  members.close();
  t.strictSame(members.records(), []);
  t.equal(join('late').session, undefined, 'nobody joins what is closed');
  t.end();
});
