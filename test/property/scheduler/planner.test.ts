import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../../base/index.js';
import type { Plan } from '../../../scheduler/index.js';
import { makePlan, type PlanRequest } from '../../../scheduler/planner/index.js';
import { TIE } from '../../../scheduler/planner/candidate.js';
import { ALL_ORDERS } from '../../../scheduler/planner/family.js';
import { estimated } from '../../../scheduler/planner/search.js';
import { requests } from './planner-samples.js';

/** A plan, or none where nothing fits. */
function planOf(request: PlanRequest): Plan | undefined {
  try {
    return makePlan(request);
  } catch (error) {
    if (error instanceof UserError && error.code === 'budget_too_small') return undefined;
    throw error;
  }
}

/** How far what the simulator says of a pipeline may be above the estimate that it was found by. */
const ESTIMATE = 1.1;

function fastest(request: PlanRequest): number {
  return estimated(request).reduce((least, { seconds }) => Math.min(least, seconds), Infinity);
}

t.setTimeout(240_000); // of a busy machine

t.test('every plan holds every unit once, every sample once a stage, and every budget', (t) => {
  let planned = 0;
  fc.assert(
    fc.property(requests(14, 7), (request) => {
      const plan = planOf(request);
      if (!plan) return;
      planned++;
      t.same(
        plan.stages.flatMap(({ nodes }) => nodes),
        request.layers.units.flatMap(({ nodes }) => nodes),
      );
      const names = new Set(request.layers.units.flatMap(({ parameters }) => parameters.map((p) => p.name)));
      t.same(new Set(plan.stages.flatMap(({ parameters }) => parameters)), names);
      for (const { replicas } of plan.stages) {
        const samples = replicas.reduce((sum, replica) => sum + replica.samplesPerStep, 0);
        t.equal(samples, request.batch);
        for (const replica of replicas) {
          t.ok(replica.predictedPeakBytes <= replica.budgetBytes, replica.device);
          t.equal(replica.samplesPerMicroBatch?.length, plan.schedule.microBatches);
          const account = replica.account.reduce((sum, { bytes }) => sum + bytes, 0);
          t.equal(account, replica.predictedPeakBytes);
        }
      }
      const ranks = plan.stages.length / (plan.schedule.stagesPerRank ?? 1);
      const devices = plan.stages.slice(0, ranks).flatMap(({ replicas }) => replicas.map((r) => r.device));
      t.equal(new Set(devices).size, devices.length, 'a device is on one rank');
      t.ok((plan.gap ?? -1) >= -1e-9, 'no plan is faster than the bound');
    }),
    { numRuns: 30 },
  );
  t.ok(planned > 5);
  t.end();
});

t.test('more memory, a faster device or a faster link never gives a slower plan', (t) => {
  const factor = fc.constantFrom(1.01, 1.1, 1.5, 2, 10);
  const what = fc.constantFrom('memory', 'flops', 'bandwidth', 'launch', 'link');
  fc.assert(
    fc.property(requests(12, 7), fc.nat(), factor, what, (request, which, by, what) => {
      const chosen = which % request.devices.length;
      const devices = request.devices.map((device, i) => {
        if (i !== chosen) return device;
        const bandwidth = device.memoryBandwidthBytesPerSecond! * (what === 'bandwidth' ? by : 1);
        return {
          ...device,
          memoryBytes: device.memoryBytes * (what === 'memory' ? by : 1),
          flops: device.flops * (what === 'flops' ? by : 1),
          memoryBandwidthBytesPerSecond: bandwidth,
          launchSeconds: 5e-6 / (what === 'launch' ? by : 1),
        };
      });
      const { links, defaultLink } = request.topology;
      const faster =
        what === 'link' ? defaultLink!.bandwidthBytesPerSecond * by : defaultLink!.bandwidthBytesPerSecond;
      const topology = { links, defaultLink: { ...defaultLink!, bandwidthBytesPerSecond: faster } };
      const better = { ...request, devices, topology };
      const [was, is] = [fastest(request), fastest(better)];
      if (is > was * (1 + 1e-9)) throw new RangeError(`${what} x ${by}: ${was} s became ${is} s`);
      if (is === Infinity) return;
      // the plan that is taken may be a simpler one that is as good as as fast, and is played where devices are many
      const allowed = (1 + TIE) * (devices.length > ALL_ORDERS ? ESTIMATE : 1);
      const taken = makePlan(better).predictedStepSeconds;
      if (taken > is * allowed * (1 + 1e-9)) throw new RangeError(`takes ${taken} s in place of ${is} s`);
    }),
    { numRuns: 30 },
  );
  t.end();
});

t.test('a refusal names a budget with which the plan then fits', (t) => {
  let refused = 0;
  fc.assert(
    fc.property(requests(8, 3), (request) => {
      const small = {
        ...request,
        devices: request.devices.map((device) => ({ ...device, memoryBytes: device.memoryBytes / 4 })),
      };
      try {
        makePlan(small);
        return;
      } catch (error) {
        const message = (error as Error).message;
        const found = /give (\S+) memory=(\d+)MiB/.exec(message);
        if (!found) throw error;
        refused++;
        const enough = small.devices.map((device) =>
          device.id === found[1] ? { ...device, memoryBytes: Number(found[2]) * 2 ** 20 } : device,
        );
        makePlan({ ...small, devices: enough });
      }
    }),
    { numRuns: 12 },
  );
  t.ok(refused > 2);
  t.end();
});
