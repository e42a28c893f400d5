import t from 'tap';
import { fold, performanceOf, ranksOf, recordOf } from '../../../coordinator/job/index.js';
import type { Plan } from '../../../scheduler/index.js';
import { later, plan, submitted, summary } from './samples.js';

const [stage] = plan.stages;
const replica = stage!.replicas[0]!;
const on = (index: number, devices: readonly string[], predictedBusySeconds: number) => ({
  ...stage!,
  index,
  replicas: devices.map((device) => ({ ...replica, device, predictedBusySeconds })),
});
/** Four stages on two pipeline ranks, the second of two devices. */
const interleaved: Plan = {
  ...plan,
  schedule: { kind: 'interleaved', microBatches: 2, stagesPerRank: 2 },
  stages: [on(0, ['a'], 1), on(1, ['b', 'c'], 2), on(2, ['a'], 4), on(3, ['b', 'c'], 8)],
};

t.test('a device is there once, with all its stages', async (t) => {
  t.match(ranksOf(interleaved), [
    { pipelineRank: 0, replica: { device: 'a' }, predictedBusySeconds: 5 },
    { pipelineRank: 1, replica: { device: 'b' }, predictedBusySeconds: 10 },
    { pipelineRank: 1, replica: { device: 'c' }, predictedBusySeconds: 10 },
  ]);
  const { devices, measuredStepSeconds } = performanceOf(interleaved);
  t.equal(measuredStepSeconds, null);
  t.match(devices, [
    { device: 'a', stages: [0, 2], predictedBusySeconds: 5, measuredBusySeconds: null },
    { device: 'b', stages: [1, 3], predictedBusySeconds: 10, measuredPeakBytes: null },
    { device: 'c', stages: [1, 3], measuredStepSeconds: null },
  ]);
  const slow = { ...summary, medianStepSeconds: 0.4 };
  t.match(performanceOf(interleaved, [summary, slow, summary]), {
    measuredStepSeconds: 0.4,
    devices: [{ measuredStepSeconds: 0.2 }, { measuredStepSeconds: 0.4, measuredBusySeconds: 0.15 }, {}],
  });
});

t.test('a job shows predictions from its launch on, and measurements once it has succeeded', async (t) => {
  const { planned, launched, started, succeeded, failed } = later;
  t.equal(recordOf(fold([submitted()])).performance, null);
  const running = [submitted(), planned, launched, started];
  const nothing = { predictedStepSeconds: 0.1, measuredStepSeconds: null };
  t.match(recordOf(fold(running)).performance, nothing);
  t.match(recordOf(fold([...running, failed])).performance, nothing);
  t.match(recordOf(fold([...running, succeeded])).performance, {
    predictedStepSeconds: 0.1,
    measuredStepSeconds: 0.2,
    devices: [{ predictedPeakBytes: 5, measuredPeakBytes: 9 }],
  });
});
