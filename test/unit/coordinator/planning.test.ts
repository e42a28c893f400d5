import t from 'tap';
import { decide } from '../../../coordinator/dispatch/decide.js';
import { planJob, runPlanOf, totalsOf } from '../../../coordinator/dispatch/planning.js';
import { fold } from '../../../coordinator/job/index.js';
import { decodeRunPlan, encodeRunPlan, type JobSpec } from '../../../protocol/index.js';
import { device, job, model, submitted } from './samples.js';

const asked = (change: Partial<JobSpec>) => ({ job: { ...job, ...change }, model });

t.test('how long a job is', (t) => {
  t.strictSame(
    totalsOf(job, 80),
    { rows: 80, stepsPerEpoch: 10, totalSteps: 10 },
    'one epoch unless it says more',
  );
  t.strictSame(
    totalsOf({ ...job, epochs: 3 }, 81),
    { rows: 81, stepsPerEpoch: 11, totalSteps: 33 },
    'the last batch may be short',
  );
  t.strictSame(totalsOf({ ...job, steps: 7 }, 80), { rows: 80, stepsPerEpoch: 10, totalSteps: 7 });
  t.throws(() => totalsOf({ ...job, steps: 7, epochs: 1 }, 80), {
    code: 'unsupported',
    message: /epochs: 1 and steps: 7/,
  });
  t.end();
});

t.test('parallelism', (t) => {
  const devices = [device(0), device(1), device(2)];
  const sharesOf = (parallelism: NonNullable<JobSpec['parallelism']>) =>
    planJob({ ...job, parallelism }, model, devices).stages[0]!.replicas.map(
      (replica) => replica.samplesPerStep,
    );
  t.strictSame(sharesOf('auto'), [3, 3, 2]);
  t.strictSame(sharesOf({ data: 2 }), [4, 4]);
  t.strictSame(sharesOf({ data: 2, shares: [3, 1] }), [6, 2]);
  t.strictSame(sharesOf({ pipeline: 1, microBatches: 1 }), [3, 3, 2]);
  t.throws(() => sharesOf({ pipeline: 2 }), {
    code: 'unsupported',
    message: /parallelism\.pipeline: 2 is not there yet/,
  });
  t.throws(() => sharesOf({ microBatches: 8 }), { code: 'unsupported', message: /microBatches/ });
  t.end();
});

t.test('what to do with a job whose turn it is', (t) => {
  const [a, b] = [device(0), device(1)];
  t.match(decide(asked({}), { all: [], free: [] }), {
    kind: 'wait',
    blocks: true,
    why: /no device has joined/,
  });
  t.match(decide(asked({}), { all: [a, b], free: [] }), { kind: 'wait', blocks: true, why: /busy/ });
  t.match(decide(asked({}), { all: [a, b], free: [b] }), {
    kind: 'launch',
    plan: { stages: [{ replicas: [{ device: b.id }] }] },
  });
  const two = { parallelism: { data: 2 } };
  t.match(decide(asked(two), { all: [a, b], free: [a] }), {
    kind: 'wait',
    blocks: true,
    why: /not enough devices are free/,
  });
  t.match(
    decide(asked(two), { all: [a], free: [a] }),
    { kind: 'wait', blocks: false, why: /2 devices/ },
    'others may go first',
  );
  const tiny = device(2, { memoryBytes: 1000 });
  t.match(decide(asked({}), { all: [tiny], free: [tiny] }), {
    kind: 'refuse',
    error: { code: 'budget_too_small' },
  });
  t.match(
    decide(asked({}), { all: [tiny, a], free: [tiny] }),
    { kind: 'wait', blocks: true },
    'it fits on one that is busy',
  );
  t.match(decide(asked({ batch: 1 }), { all: [a, b], free: [a, b] }), {
    kind: 'refuse',
    error: { code: 'batch_too_small' },
  });
  t.end();
});

t.test('what the ranks are told', (t) => {
  const queued = fold([submitted()]);
  const plan = planJob(job, model, [device(0), device(1, { flops: 3e10 })]);
  const told = runPlanOf(queued, 1, plan, () => 'host');
  t.strictSame(decodeRunPlan(encodeRunPlan(told)), told, 'it fits its schema, and survives the wire');
  t.match(told, {
    jobId: 'job_1',
    epoch: 1,
    model: { sha256: 'a'.repeat(64) },
    totalSteps: 20,
    stepsPerEpoch: 10,
    seed: 0,
    clipNorm: null,
    lossOutput: null,
    batchNormalization: 'exported',
    wire: 'float32',
    schedule: { kind: 'constant' },
    logEverySteps: 1,
    validateEverySteps: 0,
    checkpointEverySteps: 0,
    ranks: [
      { device: 'host/cpu:0', host: 'host', share: 2 },
      { device: 'host/cpu:1', host: 'host', share: 6 },
    ],
  });
  const validated = fold([
    { ...submitted(), job: { ...job, data: { ...job.data, validation: job.data.train } } },
  ]);
  t.equal(runPlanOf(validated, 1, plan, () => 'host').validateEverySteps, 10, 'at the end of each epoch');
  t.end();
});
