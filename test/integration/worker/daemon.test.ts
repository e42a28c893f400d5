import { create } from '@bufbuild/protobuf';
import t from 'tap';
import { sha256, version } from '../../../base/index.js';
import { readSafetensors } from '../../../graph/index.js';
import { ListenForProbeSchema, MeasureLinkSchema } from '../../../protocol/index.js';
import { DaemonFixture } from './daemon-fixture.js';

t.setTimeout(240_000);

async function setUp(t: Tap): Promise<DaemonFixture> {
  const fixture = await DaemonFixture.start();
  t.teardown(() => fixture.close());
  return fixture;
}
type Tap = { teardown(end: () => Promise<void>): void };

t.test('joins, trains a run and hands over its weights; closed, it leaves nothing', async (t) => {
  const fixture = await setUp(t);
  const { coordinator } = fixture;
  const daemon = await fixture.daemon();
  t.match(coordinator.hellos, [
    {
      version,
      name: 'host',
      pid: process.pid,
      devices: [{ id: 'host/cpu:0', threads: 1, memoryBytes: 2 ** 29 }],
    },
  ]);
  t.ok(coordinator.hellos[0]!.devices[0]!.flops > 1e8, 'the device was measured');

  const plan = fixture.plan('job_a', 20, { checkpointEverySteps: 8 });
  await coordinator.train(plan, 'host/cpu:0');
  const { weightsSha256, steps, peakBytes } = await coordinator.heard('finished');
  await coordinator.heard('stopped');
  t.equal(steps, 20);
  t.ok(peakBytes > 2 ** 24);
  const weights = coordinator.artifacts.get(weightsSha256)!;
  t.equal(sha256(weights), weightsSha256);
  t.same([...readSafetensors(weights).tensors.keys()], ['weight', 'bias']);
  const told = coordinator.received.map((message) => message.case);
  t.equal(told.filter((kind) => kind === 'step').length, 20);
  t.equal(told.filter((kind) => kind === 'checkpoint').length, 2);
  t.same(told.slice(-2), ['finished', 'stopped'], 'after its files');
  t.match(await coordinator.heard('log'), {
    level: 'info',
    message: /^host\/cpu:0: its executor held at most/,
  });

  await daemon.close();
  await daemon.done;
  t.same(fixture.executors(), []);
  t.same(fixture.scratches(), []);
});

t.test('one daemon, through all that its coordinator and its executor do to it', async (t) => {
  const fixture = await setUp(t);
  const daemon = await fixture.daemon();
  t.beforeEach(() => fixture.coordinator.forget());

  await t.test('a run that is launched before the last one has left is not lost with it', async (t) => {
    const { coordinator } = fixture;
    coordinator.keepHeartbeats = true;
    const [first, second] = [fixture.plan('job_a', 3), fixture.plan('job_b')];
    await coordinator.train(first, 'host/cpu:0');
    await coordinator.heard('finished');
    await coordinator.train(second, 'host/cpu:0');
    await coordinator.heard('stopped', ({ jobId }) => jobId === 'job_a');
    await coordinator.heard('step', ({ jobId, step }) => jobId === 'job_b' && step > 3);
    coordinator.forget();
    const beat = await coordinator.heard('heartbeat', ({ ranks }) => ranks.length > 0);
    t.match(beat.ranks, [{ jobId: 'job_b', phase: 'training' }]);
    coordinator.stop(second);
    await coordinator.heard('stopped', ({ jobId }) => jobId === 'job_b');
  });

  await t.test('a run that waits for the last one to leave can be stopped, and blocks nobody', async (t) => {
    const { coordinator } = fixture;
    const [first, second, third] = [fixture.plan('job_a'), fixture.plan('job_b'), fixture.plan('job_c', 2)];
    await coordinator.train(first, 'host/cpu:0');
    await coordinator.heard('step');
    coordinator.stop(first);
    coordinator.launch(second, 0, 'host/cpu:0');
    coordinator.stop(second);
    await coordinator.train(third, 'host/cpu:0');
    await coordinator.heard('finished', ({ jobId }) => jobId === 'job_c');
    for (const { jobId } of [first, second]) await coordinator.heard('stopped', (one) => one.jobId === jobId);
    t.notOk(
      coordinator.received.some(({ case: kind, value }) => kind === 'ready' && value.jobId === 'job_b'),
    );
  });

  await t.test('an artifact that the coordinator does not have fails the run in its words', async (t) => {
    const { coordinator } = fixture;
    const model = { sha256: '0'.repeat(64), file: 'model.onnx' };
    coordinator.launch(fixture.plan('job_bare', 3, { model }), 0, 'host/cpu:0');
    t.match(await coordinator.heard('failed'), {
      device: 'host/cpu:0',
      family: 'peer',
      code: 'bad_artifact',
      message: /did not deliver artifact [0-9a-f]{64}: .*there is no artifact/,
    });
    await coordinator.heard('stopped', ({ jobId }) => jobId === 'job_bare');
  });

  await t.test('when the session ends its runs end, and it joins again', async (t) => {
    const { coordinator } = fixture;
    await coordinator.train(fixture.plan('job_a'), 'host/cpu:0');
    await coordinator.heard('step');
    coordinator.refusals = ['name_taken']; // the lease of the lost session has not run out yet
    const before = coordinator.hellos.length;
    coordinator.endSession();
    await coordinator.greeted(before + 2);
    coordinator.forget();
    await coordinator.train(fixture.plan('job_b', 3), 'host/cpu:0');
    await coordinator.heard('finished', ({ jobId }) => jobId === 'job_b');
    t.notOk(coordinator.received.some(({ case: kind, value }) => kind === 'step' && value.jobId === 'job_a'));
  });

  await t.test('a device that loses its executor is told lost, and back', async (t) => {
    const { coordinator } = fixture;
    await coordinator.train(fixture.plan('job_a'), 'host/cpu:0');
    await coordinator.heard('step');
    process.kill(fixture.executors()[0]!.pid, 'SIGKILL');
    const lost = await coordinator.heard('deviceLost');
    t.match(lost, {
      device: 'host/cpu:0',
      code: 'executor_died',
      message: /host\/cpu:0: .*was killed \(SIGKILL/,
    });
    // meanwhile there is nobody to run anything
    coordinator.launch(fixture.plan('job_b'), 0, 'host/cpu:0');
    t.match(await coordinator.heard('failed'), {
      jobId: 'job_b',
      code: 'no_such_device',
      message: /started anew/,
    });
    await coordinator.heard('stopped', ({ jobId }) => jobId === 'job_b');
    t.match(await coordinator.heard('deviceBack'), { id: 'host/cpu:0' });
    await coordinator.train(fixture.plan('job_c', 2), 'host/cpu:0');
    await coordinator.heard('finished', ({ jobId }) => jobId === 'job_c');
  });

  await t.test('a device that is lost while the daemon joins again is told lost', async () => {
    const { coordinator } = fixture;
    process.kill(fixture.executors()[0]!.pid, 'SIGKILL');
    const before = coordinator.hellos.length;
    coordinator.endSession();
    await coordinator.greeted(before + 1);
    await coordinator.heard('deviceLost', ({ device }) => device === 'host/cpu:0');
    await coordinator.heard('deviceBack');
  });

  await t.test('a coordinator that is gone is waited for', async () => {
    await fixture.coordinator.train(fixture.plan('job_a'), 'host/cpu:0');
    await fixture.coordinator.heard('step');
    fixture.coordinator.close();
    await fixture.restartCoordinator();
    await fixture.coordinator.greeted(1);
    await fixture.coordinator.train(fixture.plan('job_b', 3), 'host/cpu:0');
    await fixture.coordinator.heard('finished');
  });

  await t.test('a daemon that is refused when it joins again ends', async (t) => {
    fixture.coordinator.refusals = ['version_mismatch'];
    fixture.coordinator.endSession();
    await t.rejects(daemon.done, { code: 'version_mismatch' });
  });
});

t.test('two of its devices measure the way between them', async (t) => {
  const fixture = await setUp(t);
  const { coordinator } = fixture;
  await fixture.daemon({ devices: ['cpu:0,memory=512MiB,threads=1', 'cpu:1,memory=512MiB,threads=1'] });
  coordinator.say({
    case: 'listenForProbe',
    value: create(ListenForProbeSchema, { probe: 'probe_1', device: 'host/cpu:1' }),
  });
  const { probe, endpoint } = await coordinator.heard('probeListening');
  t.equal(probe, 'probe_1');
  coordinator.say({
    case: 'measureLink',
    value: create(MeasureLinkSchema, { probe, device: 'host/cpu:0', endpoint }),
  });
  const link = await coordinator.heard('linkMeasured');
  t.ok(link.bandwidthBytesPerSecond > 1e7 && link.latencySeconds > 1e-6 && link.latencySeconds < 0.1);
  coordinator.say({
    case: 'measureLink',
    value: create(MeasureLinkSchema, { probe: 'probe_2', device: 'host/cpu:2', endpoint }),
  });
  t.match(await coordinator.heard('probeFailed'), { probe: 'probe_2', message: /host\/cpu:2/ });
});

t.test('a daemon that is refused says why, and leaves nothing', async (t) => {
  const fixture = await setUp(t);
  fixture.coordinator.refusals = ['version_mismatch'];
  const refused = { family: 'peer', code: 'version_mismatch', message: /because of the test/ };
  await t.rejects(fixture.daemon(), refused);
  t.same(fixture.executors(), []);
  t.same(fixture.scratches(), []);
});

t.test('starting can be ended at any time', async (t) => {
  const fixture = await setUp(t);
  for (const ms of [0, 50, 3000]) {
    const starting = fixture.daemon({ address: '127.0.0.1:9', signal: AbortSignal.timeout(ms) });
    const at = performance.now();
    await t.rejects(starting, { code: 'stopped' });
    const late = performance.now() - at - ms;
    t.ok(late < 1500, `${late.toFixed(0)} ms after the order`);
    t.same(fixture.executors(), []);
    t.same(fixture.scratches(), []);
  }
});

t.test('a device that does not work is left out, and a daemon that has no other does not join', async (t) => {
  const fixture = await setUp(t);
  const cpu = 'cpu:0,memory=512MiB,threads=1';
  const daemon = await fixture.daemon({ devices: [cpu, 'webgl:0'] });
  if (daemon.skipped.length === 0) return; // webgl works here
  t.match(daemon.skipped, [
    { device: 'host/webgl:0', reason: /host\/webgl:0: the executor did not start: .*gl/ },
  ]);
  t.strictSame(
    fixture.coordinator.hellos[0]!.devices.map(({ id }) => id),
    ['host/cpu:0'],
  );
  await daemon.close();
  await t.rejects(fixture.daemon({ devices: ['webgl:0'] }), {
    family: 'user',
    code: 'no_device',
    message: /no device is left: host\/webgl:0: .*gl/,
  });
  t.same(fixture.executors(), []);
});

t.test('what gpu.js on WebAssembly computes is what a rank hands over', async (t) => {
  const fixture = await setUp(t);
  const { coordinator } = fixture;
  await fixture.daemon({ devices: ['wasm:0,memory=768MiB,threads=1'] });
  const { kind, engine, operators, ownMemory } = coordinator.hellos[0]!.devices[0]!;
  t.match({ kind, engine, ownMemory }, { kind: 'wasm', engine: 'gpujs', ownMemory: false });
  t.ok(operators.includes('MatMul') && !operators.includes('LSTM'));
  const plan = fixture.plan('job_w', 5);
  const there = { ...plan, ranks: plan.ranks.map((rank) => ({ ...rank, device: 'host/wasm:0' })) };
  await coordinator.train(there, 'host/wasm:0');
  const { weightsSha256, steps } = await coordinator.heard('finished');
  t.equal(steps, 5);
  t.same([...readSafetensors(coordinator.artifacts.get(weightsSha256)!).tensors.keys()], ['weight', 'bias']);
});
