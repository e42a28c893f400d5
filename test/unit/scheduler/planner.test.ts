import t from 'tap';
import { DEFAULT_STREAM, streamQueueBytes } from '../../../collectives/index.js';
import { STREAM_QUEUE_BYTES, type Device } from '../../../scheduler/index.js';
import { lowerBound, makePlan, type Forced, type LayerProfile } from '../../../scheduler/planner/index.js';
import { Balancer } from '../../../scheduler/planner/balance.js';

const MIB = 2 ** 20;
const work = { productFlops: 1e9, movedBytes: 1e6, launches: 3 };
const model = (units: number, parameterBytes = MIB): LayerProfile => ({
  units: Array.from({ length: units }, (_, i) => ({
    nodes: [`n${i}`],
    parameters: [{ name: `p${i}`, bytes: parameterBytes, trained: true }],
    forward: work,
    backwardInput: work,
    backwardWeight: work,
    savedBytesPerSample: MIB,
    rereadBytesPerSample: 0,
    forwardBytesPerSample: MIB,
    backwardBytesPerSample: MIB,
  })),
  cuts: Array.from({ length: units - 1 }, () => ({
    activationBytesPerSample: 1e4,
    gradientBytesPerSample: 1e4,
  })),
  tied: [],
  fused: {
    activationBytes: { base: 0, perSample: units * MIB },
    crossingBytes: { base: 0, perSample: 0 },
  },
});
const device = (index: number, speed = 1, mebibytes = 4096): Device => ({
  id: `host/cpu:${index}`,
  host: 'host',
  kind: 'cpu',
  memoryBytes: mebibytes * MIB,
  flops: speed * 1e11,
});
const plan = (layers: LayerProfile, devices: readonly Device[], parallelism: Forced = {}, batch = 32) =>
  makePlan({
    layers,
    devices,
    batch,
    parallelism,
    job: { stateFactor: 2, batchBytesPerSample: 1000, datasetBytes: MIB },
    topology: { links: [] },
  });
const three = [device(0), device(1, 0.5), device(2, 0.25)];

t.test('two devices of speed 1 and 0.5 reach 90 % of the sum of their speeds', async (t) => {
  const both = plan(model(8), [device(0), device(1, 0.5)]);
  const [one, other] = [plan(model(8), [device(0)]), plan(model(8), [device(1, 0.5)])];
  const sum = 1 / one.predictedStepSeconds + 1 / other.predictedStepSeconds;
  t.ok(1 / both.predictedStepSeconds >= 0.9 * sum);
});

t.test('what is forced is what is planned', async (t) => {
  const two = plan(model(8), three, { pipeline: 2, data: 1, microBatches: 4, schedule: 'gpipe' });
  t.equal(two.stages.length, 2);
  t.match(two.schedule, { kind: 'gpipe', microBatches: 4 });
  const again = plan(model(8), three, { pipeline: 3, recompute: true });
  t.ok(again.stages.every(({ recompute, replicas }) => recompute && replicas.length === 1));
  const interleaved = plan(model(8), three, { pipeline: 2, schedule: 'interleaved', microBatches: 4 });
  t.equal(interleaved.stages.length, 4);
  t.same(interleaved.stages[0]!.replicas[0]!.device, interleaved.stages[2]!.replicas[0]!.device);
  const shared = plan(model(8), three, { data: 2, pipeline: 1, shares: [3, 1], microBatches: 1 });
  t.same(
    shared.stages[0]!.replicas.map(({ samplesPerStep }) => samplesPerStep),
    [24, 8],
  );
});

t.test('schedules are forced on many devices as on few', async (t) => {
  const many = Array.from({ length: 8 }, (_, i) => device(i, 1 + (i % 3)));
  for (const schedule of ['gpipe', '1f1b', 'zero-bubble', 'interleaved'] as const) {
    const made = plan(model(24), many, { schedule, data: 1, microBatches: 8 });
    t.equal(made.schedule.kind, schedule);
    t.equal(made.stages.length % (made.schedule.stagesPerRank ?? 1), 0);
    t.equal(made.stages.flatMap(({ nodes }) => nodes).length, 24);
  }
  const three = plan(model(24), many, { schedule: 'interleaved', pipeline: 3, stagesPerRank: 3 });
  t.equal(three.stages.length, 9);
  t.equal(three.schedule.microBatches % 3, 0, 'micro-batches are passed in groups of three');
  t.throws(() => plan(model(24), many, { schedule: 'interleaved', pipeline: 3 }, 2), {
    code: 'bad_placement',
    message: /in groups of 3, but the batch has 2/,
  });
});

t.test('of plans that are as fast as each other the simplest is taken', async (t) => {
  const alone = plan(model(8), [device(0), device(1, 0.01)]);
  t.equal(alone.stages[0]!.replicas.length, 1, 'a device that gains a hundredth is left out');
  t.equal(alone.schedule.microBatches, 1);
  t.ok(alone.rejected.some(({ plan: name }) => name === 'with host/cpu:1'));
});

t.test('queues of streams are counted as collectives bound them', async (t) => {
  t.equal(STREAM_QUEUE_BYTES, streamQueueBytes(DEFAULT_STREAM));
});

t.test('what no device holds alone is cut', async (t) => {
  const large = plan(model(12, 40 * MIB), [device(0, 1, 1500), device(1, 1, 1500), device(2, 1, 1500)]);
  t.ok(large.stages.length > 1);
  t.ok(
    large.rejected.some(
      ({ plan: name, reason }) => name.startsWith('alone on') && reason.includes('at least'),
    ),
  );
  for (const { replicas } of large.stages) {
    for (const { predictedPeakBytes, budgetBytes } of replicas) t.ok(predictedPeakBytes <= budgetBytes);
  }
});

t.test('refusals say what would be accepted', async (t) => {
  t.throws(() => plan(model(8), three, { data: 2, pipeline: 2 }), {
    code: 'bad_placement',
    message: /asks for 4 devices, but 3.*at most 3/,
  });
  t.throws(() => plan(model(2), three, { pipeline: 3 }), { message: /can be cut into 2 at most/ });
  t.throws(() => plan(model(8), three, { microBatches: 64 }), { message: /use 32 or less/ });
  t.throws(() => plan(model(8), three, { shares: [1, 2] }), { code: 'bad_shares', message: /give data: 2/ });
  t.throws(() => plan(model(8), three, { pipeline: 3, schedule: 'interleaved', microBatches: 4 }), {
    code: 'bad_schedule',
  });
  t.throws(() => plan(model(8), [device(0)], { schedule: 'gpipe' }), { message: /needs two pipeline ranks/ });
  t.throws(() => plan(model(8), []), { code: 'bad_placement' });
  t.throws(() => plan(model(8), three, { data: 1.5 }), { message: /whole number from 1 to 3/ });
  t.throws(() => plan(model(40, 40 * MIB), three.slice(0, 1)), {
    code: 'budget_too_small',
    message: /short by .*give host\/cpu:0 memory=\d+MiB/,
  });
  const tight = [device(0, 1, 420)];
  t.throws(() => plan(model(8), tight, { microBatches: 1 }, 64), {
    code: 'budget_too_small',
    message: /use microBatches: \d+/,
  });
  let advice = '';
  try {
    plan(model(8), tight, { microBatches: 1 }, 64);
  } catch (error) {
    advice = (error as Error).message;
  }
  const forced = /use microBatches: (\d+)/.exec(advice);
  t.ok(plan(model(8), tight, { microBatches: Number(forced?.[1]) }, 64));
});

t.test('a search that may take no time still plans', async (t) => {
  let now = 0;
  const limited = makePlan({
    layers: model(8),
    devices: three,
    batch: 32,
    job: { stateFactor: 2, batchBytesPerSample: 1000, datasetBytes: MIB },
    topology: { links: [] },
    timeLimitSeconds: 0,
    now: () => now++,
  });
  t.ok(limited.stages.length === 1);
});

t.test('whole samples are balanced, not rounded', async (t) => {
  const lane = (perSample: number, count = 1, capacity = Infinity) => ({ perSample, count, capacity });
  const split = (samples: number, lanes: readonly ReturnType<typeof lane>[], least: 0 | 1) => {
    const balancer = new Balancer(Float64Array.from(lanes, ({ count }) => count));
    balancer.perSample.set(lanes.map(({ perSample }) => perSample));
    balancer.capacity.set(lanes.map(({ capacity }) => capacity));
    const seconds = balancer.balance(samples, least);
    return seconds === undefined
      ? undefined
      : { seconds, each: [...balancer.each], limited: balancer.limited };
  };
  t.match(split(3, [lane(1), lane(2)], 0), { seconds: 2, each: [2, 1] });
  t.match(split(10, [lane(1, 1, 4), lane(2)], 0), { seconds: 12, limited: true });
  t.equal(split(10, [lane(1, 2, 4)], 0), undefined);
  t.match(split(3, [lane(1, 2), lane(9)], 1), { seconds: 9, each: [1, 1] });
  t.equal(split(2, [lane(1, 3)], 1), undefined);
});

t.test('the bound is total work over total speed where devices are alike', async (t) => {
  const layers = model(5);
  const one = lowerBound(layers, [device(0)], 30);
  t.ok(Math.abs(lowerBound(layers, [device(0), device(1), device(2)], 30) - one / 3) < 1e-9 * one);
});
