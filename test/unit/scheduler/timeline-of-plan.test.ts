import t from 'tap';
import {
  bubbleOf,
  makePlan,
  timelineOf,
  TraceError,
  type Device,
  type Forced,
} from '../../../scheduler/index.js';

const MIB = 2 ** 20;
const work = { productFlops: 1e9, movedBytes: 1e6, launches: 3 };
const layers = {
  units: Array.from({ length: 8 }, (_, i) => ({
    nodes: [`n${i}`],
    parameters: [{ name: `p${i}`, bytes: MIB, trained: true }],
    forward: work,
    backwardInput: work,
    backwardWeight: work,
    savedBytesPerSample: MIB,
    rereadBytesPerSample: 0,
    forwardBytesPerSample: MIB,
    backwardBytesPerSample: MIB,
  })),
  cuts: Array.from({ length: 7 }, () => ({ activationBytesPerSample: 1e4, gradientBytesPerSample: 1e4 })),
  tied: [],
  fused: { activationBytes: { base: 0, perSample: 8 * MIB }, crossingBytes: { base: 0, perSample: 0 } },
};
const device = (index: number, speed = 1): Device => ({
  id: `host/cpu:${index}`,
  host: 'host',
  kind: 'cpu',
  memoryBytes: 4096 * MIB,
  flops: speed * 1e11,
});
const plan = (devices: readonly Device[], parallelism: Forced) =>
  makePlan({
    layers,
    devices,
    batch: 32,
    parallelism,
    job: { stateFactor: 2, batchBytesPerSample: 1000, datasetBytes: MIB },
    topology: { links: [] },
  });

t.test('the timeline of a plan is as long as the plan predicts', async (t) => {
  for (const schedule of ['gpipe', '1f1b', 'interleaved', 'zero-bubble'] as const) {
    const made = plan([device(0), device(1)], { pipeline: 2, data: 1, microBatches: 4, schedule });
    const { events, names } = timelineOf(JSON.parse(JSON.stringify(made)) as typeof made);
    const ends = events.filter(({ kind }) => kind === 'update').map(({ end }) => end);
    // what the dynamic programme takes a 1F1B pipeline for is a bound
    const ratio = Math.max(...ends) / made.predictedStepSeconds;
    t.ok(
      schedule === '1f1b' ? ratio <= 1 + 1e-9 && ratio > 0.9 : Math.abs(ratio - 1) < 1e-9,
      `${schedule} ${ratio}`,
    );
    t.same(
      names.ranks.map(({ device }) => device),
      (schedule === 'interleaved' ? made.stages.slice(0, 2) : made.stages).map((s) => s.replicas[0]!.device),
    );
    const { steps } = bubbleOf(events);
    t.equal(steps.length, 1);
    t.ok(steps[0]!.bubble > 0.01 && steps[0]!.bubble < 0.4);
    const sends = events.filter(({ kind }) => kind === 'send-activation');
    t.equal(sends.length, 4 * (made.stages.length - 1));
    t.ok(sends.every(({ start, end }) => end > start));
  }
});

t.test('replicas compute for their share of what the busiest takes', async (t) => {
  const shared = plan([device(0), device(1, 0.5)], { pipeline: 1, data: 2, microBatches: 2, shares: [1, 1] });
  const { events } = timelineOf(shared, 'shares');
  const { busy } = bubbleOf(events);
  t.equal(busy.length, 2);
  t.ok(Math.abs(busy[0]! / busy[1]! - 0.5) < 0.05, 'the faster one waits for half of its time');
  t.same([...new Set(events.map(({ kind }) => kind))].sort(), ['step', 'update']);
  const end = Math.max(...events.map((event) => event.end));
  t.ok(Math.abs(end / shared.predictedStepSeconds - 1) < 1e-9);
  const wide = plan(
    [0, 1, 2, 3].map((i) => device(i)),
    { pipeline: 2, data: 2, microBatches: 4 },
  );
  const ranks = timelineOf(wide).names.ranks.map(({ device }) => device);
  t.same(
    ranks,
    wide.stages.flatMap(({ replicas }) => replicas.map(({ device }) => device)),
  );
});

t.test('a plan that does not say what its stages take is refused', async (t) => {
  const made = plan([device(0)], {});
  const old = { ...made, stages: made.stages.map(({ seconds: _, ...stage }) => stage) };
  t.throws(() => timelineOf(old), TraceError);
});
