import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../../base/index.js';
import {
  calibrate,
  makePlan,
  type Calibration,
  type Device,
  type PlanRequest,
} from '../../../scheduler/index.js';
import { CalibratedEfforts } from '../../../scheduler/planner/calibrate.js';
import { PARTS, ratesOf, secondsFor } from '../../../scheduler/planner/cost.js';
import { profiles, requests } from './planner-samples.js';

const factor = fc.double({ min: 0.1, max: 10, noNaN: true });

/** Factors by unit, as many as a model may have: those that it lacks are cut off. */
const MOST_UNITS = 8;
const calibrations = fc.record({
  forward: fc.array(factor, { minLength: MOST_UNITS, maxLength: MOST_UNITS }),
  backwardInput: fc.array(factor, { minLength: MOST_UNITS, maxLength: MOST_UNITS }),
  backwardWeight: fc.array(factor, { minLength: MOST_UNITS, maxLength: MOST_UNITS }),
  fused: factor,
});

function fitted(calibration: Calibration, units: number, by = 1): Calibration {
  const cut = (factors: readonly number[]) => factors.slice(0, units).map((each) => each * by);
  const { forward, backwardInput, backwardWeight, fused } = calibration;
  return {
    forward: cut(forward),
    backwardInput: cut(backwardInput),
    backwardWeight: cut(backwardWeight),
    fused: fused * by,
  };
}

const uniform = (units: number): Calibration => {
  const ones = new Array<number>(units).fill(1);
  return { forward: ones, backwardInput: ones, backwardWeight: ones, fused: 1 };
};

/** undefined where nothing fits. */
function planOf(request: PlanRequest) {
  try {
    return makePlan(request);
  } catch (error) {
    if (error instanceof UserError) return undefined;
    throw error;
  }
}

const withAll = (request: PlanRequest, of: (device: Device, i: number) => Calibration): PlanRequest => ({
  ...request,
  devices: request.devices.map((device, i) => ({ ...device, calibration: of(device, i) })),
});

t.test('factors that are all 1 are none', (t) => {
  fc.assert(
    fc.property(requests(MOST_UNITS, 3), (request) => {
      const shared = uniform(request.layers.units.length);
      const [plain, same] = [planOf(request), planOf(withAll(request, () => shared))];
      return plain === undefined
        ? same === undefined
        : Math.abs(same!.predictedStepSeconds / plain.predictedStepSeconds - 1) < 1e-9;
    }),
    { numRuns: 60 },
  );
  t.end();
});

t.test('no plan is faster than the bound says, and a larger factor never makes one so', (t) => {
  fc.assert(
    fc.property(
      requests(MOST_UNITS, 3),
      fc.array(calibrations, { minLength: 3, maxLength: 3 }),
      fc.double({ min: 1, max: 3, noNaN: true }),
      (request, factors, slower) => {
        const units = request.layers.units.length;
        const plan = planOf(withAll(request, (_, i) => fitted(factors[i]!, units)));
        if (!plan) return true;
        const { predictedStepSeconds, boundSeconds } = plan;
        if (predictedStepSeconds < boundSeconds! * (1 - 1e-9)) return false;
        // all of them: the search's own promise about one that gets slower is of its estimate
        const worse = planOf(withAll(request, (_, i) => fitted(factors[i]!, units, slower)));
        return worse !== undefined && worse.predictedStepSeconds >= predictedStepSeconds * (1 - 0.1);
      },
    ),
    { numRuns: 60 },
  );
  t.end();
});

t.test('what was measured is foretold again', (t) => {
  const device: Device = { id: 'h/cpu:0', host: 'h', kind: 'cpu', memoryBytes: 1e9, flops: 1e10 };
  fc.assert(
    fc.property(
      profiles(MOST_UNITS, 2),
      factor,
      factor,
      fc.integer({ min: 1, max: 16 }),
      (layers, by, whole, samples) => {
        const units = layers.units.length;
        const each = layers.units.map((_, unit) => ({ from: unit, to: unit + 1 }));
        const plain = new CalibratedEfforts(layers, each);
        const [half, all] = [Math.floor(units / 2), [{ from: 0, to: units }]];
        const ranges = [
          { from: 0, to: half },
          { from: half, to: units },
        ];
        const foretold = (of: Device, part: (typeof PARTS)[number] | 'all', range = all[0]!) => {
          const efforts = plain.of(of);
          const effort = part === 'all' ? efforts.step(all, 'fused') : efforts.of(part, range, 'kept');
          const { constant, perSample } = secondsFor(effort, ratesOf(of));
          return constant + perSample * samples;
        };
        const timing = {
          samples,
          ranges: ranges.map((range) => ({
            ...range,
            forward: by * foretold(device, 'forward', range),
            backwardInput: foretold(device, 'backwardInput', range) / by,
            backwardWeight: foretold(device, 'backwardWeight', range),
          })),
          whole: { samples, seconds: whole * foretold(device, 'all') },
        };
        const calibrated = { ...device, calibration: calibrate(layers, device, timing) };
        const close = (a: number, b: number) => Math.abs(a - b) <= 1e-9 * Math.max(a, b);
        return (
          close(foretold(calibrated, 'all'), timing.whole.seconds) &&
          timing.ranges.every((range) =>
            PARTS.every((part) => close(foretold(calibrated, part, range), range[part])),
          )
        );
      },
    ),
  );
  t.end();
});

t.test('a calibration of another model is refused', (t) => {
  const [request] = fc.sample(requests(4, 1, 4), 1) as [PlanRequest];
  t.throws(() => makePlan(withAll(request, () => uniform(3))), {
    code: 'bad_placement',
    message: /calibrated for another model: 3 factors \(forward\) for 4 units/,
  });
  t.throws(() => makePlan(withAll(request, () => ({ ...uniform(4), fused: 0 }))), { message: /factor of 0/ });
  t.end();
});
