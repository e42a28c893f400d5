import t from 'tap';
import { PeerError, type DtrainError } from '../../../base/index.js';
import { decide, type PlanAnswer } from '../../../coordinator/dispatch/decide.js';
import { planQuestion, runPlanOf, totalsOf } from '../../../coordinator/dispatch/planning.js';
import { fold } from '../../../coordinator/job/index.js';
import { asksForMore, decodeRunPlan, encodeRunPlan, type JobSpec } from '../../../protocol/index.js';
import { makePlan, type Device, type Plan } from '../../../scheduler/index.js';
import { device, heavy, job, submitted } from './samples.js';

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

const planOn = (asked: JobSpec, devices: readonly Device[], facts = heavy): Plan =>
  makePlan(planQuestion(asked, facts, devices, { links: [] }));

t.test('parallelism', (t) => {
  const devices = [device(0), device(1), device(2)];
  const replicasOf = (parallelism: NonNullable<JobSpec['parallelism']>, on = devices) =>
    planOn({ ...job, parallelism }, on).stages.map(({ replicas }) =>
      replicas.map((replica) => replica.samplesPerStep),
    );
  t.strictSame(replicasOf('auto'), [[3, 3, 2]]);
  t.strictSame(replicasOf({ data: 2, pipeline: 1 }), [[4, 4]]);
  t.strictSame(replicasOf({ data: 2, pipeline: 1, shares: [3, 1] }), [[6, 2]]);
  t.strictSame(replicasOf({ shares: [3, 1], pipeline: 1 }), [[6, 2]], 'as many replicas as shares');
  t.strictSame(replicasOf({ pipeline: 1, microBatches: 1 }), [[3, 3, 2]]);
  t.strictSame(replicasOf({ pipeline: 2, data: 1, microBatches: 4 }), [[8], [8]]);
  t.throws(() => replicasOf({ pipeline: 1, schedule: 'gpipe' }), {
    code: 'bad_schedule',
    message: /nothing to schedule on one pipeline rank; leave schedule out/,
  });
  t.throws(() => replicasOf({ pipeline: 2, schedule: '1f1b', stagesPerRank: 2 }), {
    code: 'bad_schedule',
    message: /stagesPerRank: 2 with schedule: 1f1b.*use schedule: interleaved/,
  });
  const noisy = [device(0, { flops: 1.1e10 }), device(1)];
  t.strictSame(replicasOf('auto', noisy), [[4, 4]], 'what measuring cannot tell apart is equal');
  t.strictSame(replicasOf('auto', [device(0, { flops: 3e10 }), device(1)]), [[6, 2]]);
  t.end();
});

t.test('what to do with a job whose turn it is', (t) => {
  const [a, b] = [device(0), device(1)];
  const planned = (devices: readonly Device[], change: Partial<JobSpec> = {}): PlanAnswer => {
    try {
      return { devices, outcome: { plan: planOn({ ...job, ...change }, devices) } };
    } catch (error) {
      return { devices, outcome: { error: error as DtrainError } };
    }
  };
  t.match(decide({ all: [], free: [] }, []), { kind: 'wait', blocks: true, why: /no device has joined/ });
  t.match(decide({ all: [a, b], free: [] }, []), { kind: 'wait', blocks: true, why: /busy/ });
  t.match(decide({ all: [a, b], free: [b] }, []), { kind: 'plan', devices: [{ id: b.id }] });
  t.match(decide({ all: [a, b], free: [b] }, [planned([b])]), {
    kind: 'launch',
    plan: { stages: [{ replicas: [{ device: b.id }] }] },
  });

  const both = planned([a, b]);
  t.match(decide({ all: [a, b], free: [b, a] }, [both]), { kind: 'launch' }, 'in whatever order');
  t.match(
    decide({ all: [a], free: [a] }, [both]),
    { kind: 'plan', devices: [{ id: a.id }] },
    'a device vanished since: again',
  );
  t.match(decide({ all: [a, b], free: [a] }, [both]), { kind: 'plan', devices: [{ id: a.id }] }, 'is busy');
  const other = device(1, { flops: 2e10 });
  t.match(
    decide({ all: [a, other], free: [a, other] }, [both]),
    { kind: 'plan', devices: [{ id: a.id }, { id: b.id, flops: 2e10 }] },
    'came back as another',
  );
  const third = device(2);
  t.match(
    decide({ all: [a, b, third], free: [a, b, third] }, [both]),
    { kind: 'launch' },
    'one that joined while the plan was made is for the next job',
  );

  const two = { parallelism: { data: 2 } };
  const one = planned([a], two);
  t.match(decide({ all: [a, b], free: [a] }, [one]), { kind: 'plan', devices: [{ id: a.id }, { id: b.id }] });
  t.match(decide({ all: [a, b], free: [a] }, [one, planned([a, b], two)]), {
    kind: 'wait',
    blocks: true,
    why: /not enough devices are free/,
  });
  t.match(
    decide({ all: [a], free: [a] }, [one]),
    { kind: 'wait', blocks: false, why: /2 devices/ },
    'others may go first',
  );
  const tiny = device(2, { memoryBytes: 1000 });
  t.match(decide({ all: [tiny], free: [tiny] }, [planned([tiny])]), {
    kind: 'refuse',
    error: { code: 'budget_too_small' },
  });
  t.match(
    decide({ all: [tiny, a], free: [tiny] }, [planned([tiny]), planned([tiny, a])]),
    { kind: 'wait', blocks: true },
    'it fits on one that is busy',
  );
  t.match(decide({ all: [a], free: [a] }, [planned([a], { parallelism: { microBatches: 9 } })]), {
    kind: 'refuse',
    error: { code: 'bad_placement', message: /microBatches: 9 of a batch of 8/ },
  });
  const broken = new PeerError('preparation_failed', 'its thread ended');
  t.match(
    decide({ all: [a, b], free: [a] }, [{ devices: [a], outcome: { error: broken } }]),
    { kind: 'refuse', error: { code: 'preparation_failed' } },
    'waiting would not mend it',
  );
  t.end();
});

t.test('only what more devices would help waits for them', (t) => {
  const errorOn = (parallelism: NonNullable<JobSpec['parallelism']>, devices: readonly Device[]) => {
    try {
      planOn({ ...job, parallelism }, devices);
    } catch (error) {
      return error as DtrainError;
    }
    throw new Error('it was planned');
  };
  const one = [device(0)];
  t.ok(asksForMore(errorOn({ data: 2 }, one)));
  t.ok(asksForMore(errorOn({ data: 2, pipeline: 2 }, [device(0), device(1), device(2)])));
  t.ok(asksForMore(errorOn({ schedule: 'gpipe' }, one)));
  t.ok(asksForMore(errorOn('auto', [])));
  t.notOk(asksForMore(errorOn({ microBatches: 9 }, one)));
  t.notOk(asksForMore(errorOn({ pipeline: 3 }, [device(0), device(1), device(2)])), 'two units');
  t.notOk(asksForMore(errorOn('auto', [device(0, { memoryBytes: 1000 })])));
  t.end();
});

t.test('what the ranks are told', (t) => {
  const queued = fold([submitted()]);
  const plan = planOn(job, [device(0), device(1, { flops: 3e10 })]);
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
      { device: 'host/cpu:0', host: 'host', pipelineRank: 0, samples: [2] },
      { device: 'host/cpu:1', host: 'host', pipelineRank: 0, samples: [6] },
    ],
  });
  const validated = fold([
    { ...submitted(), job: { ...job, data: { ...job.data, validation: job.data.train } } },
  ]);
  t.equal(runPlanOf(validated, 1, plan, () => 'host').validateEverySteps, 10, 'at the end of each epoch');
  t.equal(told.fallback, 'report');
  const strict: typeof queued = { ...queued, job: { ...queued.job, fallback: 'forbid' } };
  t.equal(runPlanOf(strict, 1, plan, () => 'host').fallback, 'forbid');
  t.end();
});
