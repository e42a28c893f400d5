import type { Static } from '@sinclair/typebox';
import t from 'tap';
import { forcedBy, PlanSchema, validatorOf } from '../../../protocol/index.js';
import { makePlan, type Plan } from '../../../scheduler/index.js';

type Frozen<T> = { readonly [K in keyof T]: Frozen<T[K]> };
/** Whether two types are the same, optional fields included. */
// eslint-disable-next-line @typescript-eslint/no-unnecessary-type-parameters -- types are compared exactly only here
type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;

/** Does not compile where REST would drop or invent a field of a plan. */
const whole: Same<Frozen<Static<typeof PlanSchema>>, Frozen<Plan>> = true;
// @ts-expect-error: an optional field alone makes a difference
const lacking: Same<Frozen<Omit<Plan, 'gap'>>, Frozen<Plan>> = true;

const work = { productFlops: 1e9, movedBytes: 1e6, launches: 3 };
const unit = (i: number) => ({
  nodes: [`n${i}`],
  parameters: [{ name: `p${i}`, bytes: 1000, trained: true }],
  forward: work,
  backwardInput: work,
  backwardWeight: work,
  savedBytesPerSample: 1000,
  rereadBytesPerSample: 0,
  forwardBytesPerSample: 1000,
  backwardBytesPerSample: 1000,
});
const device = (i: number) =>
  ({ id: `h/cpu:${i}`, host: 'h', kind: 'cpu', memoryBytes: 2 ** 30, flops: 1e10 }) as const;

t.test('every field of a plan is in the schema, and has its type', async (t) => {
  t.strictSame([whole, lacking], [true, true]);
  const plan = makePlan({
    layers: {
      units: [unit(0), unit(1)],
      cuts: [{ activationBytesPerSample: 100, gradientBytesPerSample: 100 }],
      tied: [],
      fused: {
        activationBytes: { base: 0, perSample: 1000 },
        crossingBytes: { base: 0, perSample: 0 },
      },
    },
    job: { stateFactor: 0, batchBytesPerSample: 100, datasetBytes: 0 },
    batch: 8,
    devices: [device(0), device(1)],
    topology: { links: [] },
    parallelism: { pipeline: 2, microBatches: 4 },
  });
  t.equal(validatorOf(PlanSchema)(plan, 'plan'), plan);
  for (const field of ['shardOptimizer', 'boundSeconds', 'gap']) t.ok(field in plan, field);
  t.match(plan.stages[0], { recompute: false, replicas: [{ samplesPerMicroBatch: [2, 2, 2, 2] }] });
});

t.test('what a job forces', async (t) => {
  t.strictSame(forcedBy(), {});
  t.strictSame(forcedBy('auto'), {});
  t.strictSame(forcedBy({ data: 2, schedule: '1f1b' }), { data: 2, schedule: '1f1b' });
  t.strictSame(forcedBy({ stagesPerRank: 2 }), { stagesPerRank: 2, schedule: 'interleaved' });
  t.strictSame(forcedBy({ shares: [3, 1] }), { data: 2, shares: [3, 1] }, 'a share for each replica');
  t.strictSame(
    forcedBy({ shares: [3, 1], data: 3 }),
    { data: 3, shares: [3, 1] },
    'the planner refuses that',
  );
});
