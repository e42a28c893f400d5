import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create } from '@bufbuild/protobuf';
import t, { type Test } from 'tap';
import { createLogger } from '../../../base/index.js';
import { planQuestion } from '../../../coordinator/dispatch/index.js';
import { fold, type ModelFacts } from '../../../coordinator/job/index.js';
import type { JoinedDevice } from '../../../coordinator/membership/index.js';
import { Profiler, Timings } from '../../../coordinator/profiling/index.js';
import { learned } from '../../../coordinator/profiling/learn.js';
import {
  decodeProfileTask,
  encodeModelProfile,
  ProfiledSchema,
  ProfileFailedSchema,
  type ModelProfile,
  type ProfileTask,
} from '../../../protocol/index.js';
import { makePlan, type ModelTiming, type Plan } from '../../../scheduler/index.js';
import { FakeClock } from './fake-clock.js';
import { heavy, job, submitted } from './samples.js';

const facts: ModelFacts = { ...heavy, samples: { inputs: [{ name: 'x', shape: [3] }], target: [1] } };
const LONG = 100_000;
const settled = () => new Promise((resolve) => setImmediate(resolve));

function joined(host: string, index = 0, change: Partial<JoinedDevice> = {}): JoinedDevice {
  return {
    id: `${host}/cpu:${index}`,
    host,
    kind: 'cpu',
    memoryBytes: 2 ** 30,
    engine: 'onnxruntime',
    threads: 1,
    speed: 1,
    flops: 1e10,
    convolutionFlops: 1e10,
    memoryBandwidthBytesPerSecond: 1e10,
    launchSeconds: 1e-6,
    ...change,
  };
}

async function setUp(t: Test, devices: readonly JoinedDevice[]) {
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-profiling-'));
  const logger = createLogger('test', 'silent');
  const clock = new FakeClock();
  const path = join(folder, 'timings.json');
  const timings = await Timings.open(path, logger);
  t.teardown(async () => {
    await timings.settled();
    rmSync(folder, { recursive: true, force: true });
  });
  const asked: { readonly id: string; readonly device: string; readonly task: ProfileTask }[] = [];
  let there = devices;
  const port = {
    devices: () => there,
    send: (device: string, { value }: { value: { profile: string; task: Uint8Array } }) => {
      asked.push({ id: value.profile, device, task: decodeProfileTask(value.task) });
      return true;
    },
  };
  const profiler = new Profiler(clock, logger, timings, port);
  /** Everything takes so long. */
  const answer = async (nth: number, seconds: number, change: Partial<ModelProfile> = {}) => {
    const { id, device, task } = asked[nth]!;
    const parts = task.parts.map((_, part) => ({
      part,
      forward: seconds,
      backwardInput: seconds,
      backwardWeight: seconds,
    }));
    const result = encodeModelProfile({ parts, whole: 6 * seconds, ...change });
    const value = create(ProfiledSchema, { profile: id, result });
    profiler.receive(device.split('/')[0]!, { case: 'profiled', value });
    await settled();
  };
  const leave = (host: string) => {
    there = there.filter((device) => device.host !== host);
    profiler.changed();
  };
  return { profiler, clock, asked, answer, leave, timings, path, logger };
}

/** Whether a promise has resolved. */
async function isDone(promise: Promise<void>): Promise<boolean> {
  let done = false;
  void promise.then(() => (done = true));
  await settled();
  return done;
}

t.test(
  'one device of each kind is asked, hosts at once, and the next plan counts with the answers',
  async (t) => {
    const slow = { flops: 1e9, convolutionFlops: 1e9 };
    const devices = [
      joined('a'),
      joined('a', 1, slow),
      joined('b', 0, { flops: 1.05e10 }),
      joined('c', 0, { threads: 2 }),
    ];
    const { profiler, asked, answer } = await setUp(t, devices);
    const over = profiler.profile(job, facts, devices, LONG);
    t.strictSame(
      asked.map(({ device }) => device),
      ['a/cpu:0', 'c/cpu:0'],
      'b is like a, the second of a comes after the first',
    );
    t.match(asked[0]!.task, {
      parts: [['a'], ['b']],
      samples: 2,
      wholeSamples: 8,
      inputs: [{ name: 'x', shape: [3] }],
    });
    await answer(0, 1);
    t.equal(asked[2]!.device, 'a/cpu:1');
    await answer(1, 1);
    t.notOk(await isDone(over));
    await answer(2, 7);
    await over;

    const calibrated = profiler.calibrated(job, facts, devices);
    t.ok(calibrated.every(({ calibration }) => calibration !== undefined));
    const { calibration: first } = calibrated[0]!;
    // 1e9 operations a sample at 1e10 a second: 0.2 s for two, where 1 s was measured
    t.match(first!.forward.map(Math.round), [5, 5]);
    t.equal(Math.round(first!.fused * 100) / 100, 1.25, '6 s for 8 samples, where 4.8 s were foretold');
    const plan = makePlan(
      planQuestion(
        { ...job, parallelism: { pipeline: 1, data: 1 } },
        facts,
        devices.slice(0, 1),
        { links: [] },
        (each) => profiler.calibrated(job, facts, each),
      ),
    );
    t.ok(Math.abs(plan.predictedStepSeconds / 6 - 1) < 0.01, 'a step takes as long as the whole did');

    await profiler.profile({ ...job, batch: 16, name: 'again' }, facts, devices, LONG);
    t.equal(asked.length, 3, 'the same graph is not timed again, whatever the batch');
    void profiler.profile({ ...job, batchNormalization: 'freeze' }, facts, devices, LONG);
    t.ok(asked.length > 3, 'another one is');
  },
);

t.test('jobs that are short, wish no profile or are of an earlier version do not wait', async (t) => {
  const devices = [joined('a')];
  const { profiler, asked } = await setUp(t, devices);
  await profiler.profile(job, facts, devices, 1);
  await profiler.profile({ ...job, profile: false }, facts, devices, LONG);
  await profiler.profile(job, heavy, devices, LONG);
  await profiler.profile(job, facts, [], LONG);
  t.equal(asked.length, 0);
  t.strictSame(profiler.calibrated(job, facts, devices), devices);
  void profiler.profile({ ...job, profile: true }, facts, devices, 1);
  t.equal(asked.length, 1, 'a short one is timed if it asks for it');
});

t.test('a device that does not answer, fails, lies or leaves holds nobody up for long', async (t) => {
  const devices = [
    joined('a'),
    joined('b', 0, { threads: 2 }),
    joined('c', 0, { threads: 3 }),
    joined('d', 0, { threads: 4 }),
  ];
  const { profiler, clock, asked, answer, leave } = await setUp(t, devices);
  const over = profiler.profile(job, facts, devices, LONG);
  t.equal(asked.length, 4);
  const refusal = create(ProfileFailedSchema, { profile: asked[1]!.id, message: 'out of memory' });
  profiler.receive('a', { case: 'profileFailed', value: refusal });
  t.notOk(await isDone(over), 'a host speaks for itself alone');
  profiler.receive('b', { case: 'profileFailed', value: refusal });
  profiler.receive('c', {
    case: 'profiled',
    value: create(ProfiledSchema, { profile: asked[2]!.id, result: Uint8Array.of(1) }),
  });
  leave('d');
  t.notOk(await isDone(over), 'one is left');
  clock.advance(20);
  await over;
  t.ok(profiler.calibrated(job, facts, devices).every(({ calibration }) => !calibration));
  await answer(0, 1);
  t.ok(profiler.calibrated(job, facts, devices)[0]!.calibration, 'what comes late is kept');
});

t.test('what was learnt outlives the coordinator; a file that is not readable is none', async (t) => {
  const devices = [joined('a')];
  const { profiler, answer, timings, path, logger } = await setUp(t, devices);
  const over = profiler.profile(job, facts, devices, LONG);
  await answer(0, 1);
  await over;
  await timings.settled();
  const port = { devices: () => devices, send: () => true };
  const again = new Profiler(new FakeClock(), logger, await Timings.open(path, logger), port);
  t.strictSame(again.calibrated(job, facts, devices), profiler.calibrated(job, facts, devices));
  t.equal((JSON.parse(readFileSync(path, 'utf8')) as unknown[]).length, 1);
  writeFileSync(path, '[{"graph": 1}]');
  const empty = new Profiler(new FakeClock(), logger, await Timings.open(path, logger), port);
  t.strictSame(empty.calibrated(job, facts, devices), devices);
  const other = [joined('a', 0, { flops: 3e10 })];
  const changed = { devices: () => other, send: () => true };
  await timings.settled();
  const faster = new Profiler(new FakeClock(), logger, timings, changed);
  t.strictSame(faster.calibrated(job, facts, other), other, 'a device that has changed is another one');
});

t.test('a job that is over tells of its devices', async (t) => {
  const devices = [joined('a')];
  const { profiler } = await setUp(t, devices);
  const alone = { ...job, parallelism: { pipeline: 1, data: 1 } as const };
  const planned = () =>
    makePlan(
      planQuestion(alone, facts, devices, { links: [] }, (each) => profiler.calibrated(alone, facts, each)),
    );
  const run = (seconds: number, steps = 10) => {
    const plan = planned();
    const first = { ...submitted('job', 1), job: alone, model: facts };
    const running = fold([
      first,
      { type: 'planned', at: 2 },
      { type: 'launched', at: 2, epoch: 1, plan },
      { type: 'started', at: 3 },
      {
        type: 'succeeded',
        at: 4,
        progress: {
          step: 1,
          loss: null,
          samplesPerSecond: null,
          validationLoss: null,
          validationAccuracy: null,
        },
        measured: [
          {
            peakBytes: 1,
            accountedBytes: 1,
            medianStepSeconds: seconds,
            medianComputeSeconds: seconds,
            steps,
          },
        ],
      },
    ]);
    profiler.learn(running);
  };
  const before = planned().predictedStepSeconds;
  run(4 * before, 2);
  t.equal(planned().predictedStepSeconds, before, 'a few steps tell nothing');
  run(4 * before);
  const once = planned().predictedStepSeconds;
  t.ok(Math.abs(once / (4 * before) - 1) < 0.01, 'what was not known is taken as measured');
  run(once * 1.21);
  t.ok(Math.abs(planned().predictedStepSeconds / once - 1.1) < 0.01, 'what was known moves half of the way');
  run(once * 1000);
  t.ok(planned().predictedStepSeconds < once * 1.1 * Math.sqrt(5.01), 'and never far at once');
});

t.test('a stage tells of parts that were timed in other ranges by as much of them as it has', (t) => {
  const stage = (device: string, from: number, to: number) => ({
    units: [from, to],
    replicas: [{ device, samplesPerStep: 8, samplesPerMicroBatch: [2], predictedBusySeconds: 1 }],
  });
  const plan = {
    stages: [stage('a/cpu:0', 0, 3), stage('b/cpu:0', 3, 5)],
    schedule: { kind: '1f1b', microBatches: 4, stagesPerRank: 1 },
  } as unknown as Plan;
  const summary = {
    peakBytes: 1,
    accountedBytes: 1,
    medianStepSeconds: 4,
    medianComputeSeconds: 4,
    steps: 10,
  };
  const [first] = learned(plan, [summary, summary]);
  const each = { forward: 1, backwardInput: 1, backwardWeight: 1 };
  const known: ModelTiming = {
    samples: 2,
    whole: null,
    ranges: [
      { from: 0, to: 2, ...each },
      { from: 2, to: 4, ...each },
      { from: 4, to: 5, ...each },
    ],
  };
  const forwards = first!.update(known)!.ranges.map(({ forward }) => forward);
  t.match(forwards, [2, Math.SQRT2, 1], 'half of the way for the first, a quarter for the second');
  t.end();
});
