import fc from 'fast-check';
import assert from 'node:assert/strict';
import t from 'tap';
import { UserError, PeerError } from '../../../base/index.js';
import { budgetAfter, expectedAfter, planAgain, planQuestion } from '../../../coordinator/dispatch/index.js';
import { overrunOf, type Failure } from '../../../coordinator/launch/index.js';
import { ranksOf, type Overrun } from '../../../coordinator/job/index.js';
import { BudgetError } from '../../../collectives/index.js';
import { makePlan, type Device, type Plan } from '../../../scheduler/index.js';
import { device, heavy, job, plan as sample } from './samples.js';

const MIB = 2 ** 20;
const overrun: Overrun = {
  device: 'host/cpu:0',
  budgetBytes: 512 * MIB,
  measuredBytes: 608 * MIB,
  predictedBytes: 408 * MIB,
  runtimeBytes: 208 * MIB,
};

t.test('what may be counted, and what is to be expected of it', (t) => {
  t.equal(budgetAfter(overrun, 512 * MIB), (208 + 152) * MIB, 'what is beside the runtime was taken twice');
  t.equal(expectedAfter(overrun, 360 * MIB), 512 * MIB);
  t.equal(
    expectedAfter(overrun, 408 * MIB),
    608 * MIB,
    'the plan that failed would be expected to take what it took',
  );
  t.equal(budgetAfter(overrun, 100 * MIB), 100 * MIB, 'too small in any case');
  const unknown = { ...overrun, runtimeBytes: 0, predictedBytes: 100 * MIB };
  t.equal(budgetAfter(unknown, 608 * MIB), 100 * MIB, 'where no runtime is known all of it counts');
  const none = { ...overrun, predictedBytes: 0 };
  t.ok(budgetAfter(none, 512 * MIB) >= 0 && Number.isFinite(expectedAfter(none, 1)));
  t.end();
});

t.test('of any figures: a plan within the lowered budget is expected to keep the real one', (t) => {
  const bytes = fc.integer({ min: 0, max: 2 ** 40 });
  fc.assert(
    fc.property(
      bytes,
      bytes,
      bytes,
      bytes,
      fc.double({ min: 0, max: 1, noNaN: true }),
      (measured, predicted, runtime, memory, part) => {
        const any = { ...overrun, measuredBytes: measured, predictedBytes: predicted, runtimeBytes: runtime };
        const budget = budgetAfter(any, memory);
        assert.ok(budget >= 0 && budget <= memory);
        const planned = Math.floor(budget * part);
        assert.ok(expectedAfter(any, planned) >= planned);
        // figures of 2^40 times ratios of as much: a double is exact to 2^-52 of them
        if (budget < memory) assert.ok(expectedAfter(any, planned) <= memory * (1 + 1e-9) + 1);
      },
    ),
  );
  t.end();
});

const questionOn = (devices: readonly Device[]) => planQuestion(job, heavy, devices, { links: [] });
const samplesOf = (plan: Plan) =>
  ranksOf(plan).map(({ replica }) => [replica.device, replica.samplesPerStep]);

t.test('all devices of the kind and engine are counted so', async (t) => {
  const devices = [device(0), device(1), device(2, { engine: 'gpujs' })];
  const asked: (readonly Device[])[] = [];
  const plan = await planAgain(overrun, devices, (counted) => {
    asked.push(counted);
    return Promise.resolve(makePlan(questionOn(counted)));
  });
  const lowered = budgetAfter(overrun, 2 ** 30);
  t.strictSame(
    asked.map((each) => each.map(({ memoryBytes }) => memoryBytes)),
    [[lowered, lowered, 2 ** 30]],
  );
  for (const { replica } of ranksOf(plan)) {
    t.equal(replica.budgetBytes, 2 ** 30, 'the plan has the real budgets');
    const sum = replica.account.reduce((all, { bytes }) => all + bytes, 0);
    t.equal(sum, replica.predictedPeakBytes, 'and what it expects is what its account comes to');
    const beyond = replica.account.find(({ what }) => what === 'measured beyond the account');
    t.equal(beyond === undefined, replica.device === 'host/cpu:2');
  }
  t.match(
    plan.explanation[0],
    /^planned again: host\/cpu:0 took 608(\.0)? MiB where 408(\.0)? MiB were counted.*2.00 times/,
  );
});

t.test('where no plan is left by that, the device alone', async (t) => {
  const devices = [device(0), device(1)];
  const asked: (readonly Device[])[] = [];
  const ask = (counted: readonly Device[]) => {
    asked.push(counted);
    return counted[1]!.memoryBytes < 2 ** 30
      ? Promise.reject(new UserError('budget_too_small', 'it fits nowhere'))
      : Promise.resolve(makePlan(questionOn(counted)));
  };
  const plan = await planAgain(overrun, devices, ask);
  t.equal(asked.length, 2);
  t.ok(asked[1]![0]!.memoryBytes < 2 ** 30);
  t.strictSame(samplesOf(plan), [
    ['host/cpu:0', 4],
    ['host/cpu:1', 4],
  ]);
  t.match(
    plan.explanation[0],
    /2.00 times as much beside the runtime: 616(\.0)? MiB may be counted of its 1(\.00)? GiB$/,
  );

  const nowhere = () => Promise.reject(new UserError('budget_too_small', 'it fits nowhere'));
  await t.rejects(planAgain(overrun, devices, nowhere), { code: 'budget_too_small' });
  let calls = 0;
  const broken = () => {
    calls++;
    return Promise.reject(new PeerError('preparation_failed', 'its thread ended'));
  };
  await t.rejects(planAgain(overrun, devices, broken), { code: 'preparation_failed' });
  t.equal(calls, 1, 'another plan would not mend that');
});

t.test('a device that is gone: all are counted so', async (t) => {
  const devices = [device(1), device(2, { engine: 'gpujs' })];
  const plan = await planAgain(overrun, devices, (counted) => {
    t.ok(counted.every(({ memoryBytes }) => memoryBytes < 2 ** 30));
    return Promise.resolve(makePlan(questionOn(counted)));
  });
  t.ok(ranksOf(plan).every(({ replica }) => replica.budgetBytes === 2 ** 30));
});

t.test('what a failure tells', (t) => {
  const told = { measuredBytes: 12, budgetBytes: 10, predictedBytes: 0 };
  const failure = (change: Partial<Failure> = {}): Failure => ({
    family: 'user',
    code: 'over_budget',
    message: 'it took too much',
    ids: told,
    device: 'host/cpu:0',
    ...change,
  });
  const [stage] = sample.stages;
  const [replica] = stage!.replicas;
  const plan: Plan = {
    ...sample,
    stages: [{ ...stage!, replicas: [{ ...replica!, account: [{ what: 'runtime', bytes: 2 }] }] }],
  };
  t.strictSame(overrunOf(failure(), plan), {
    device: 'host/cpu:0',
    budgetBytes: 10,
    measuredBytes: 12,
    predictedBytes: 5,
    runtimeBytes: 2,
  });
  t.match(overrunOf(failure(), sample), { runtimeBytes: 0 });
  const arena = new BudgetError('the arena is full', { budgetBytes: 10 });
  t.equal(overrunOf(failure({ ids: arena.ids }), plan), undefined, 'an arena that is too small says nothing');
  t.equal(overrunOf(failure({ code: 'executor_died' }), plan), undefined);
  t.equal(overrunOf(failure({ device: 'host/cpu:9' }), plan), undefined, 'a device of another plan');
  t.equal(overrunOf(failure({ device: null }), plan), undefined);
  for (const name of Object.keys(told)) {
    t.equal(overrunOf(failure({ ids: { ...told, [name]: '12' } }), plan), undefined, name);
    t.equal(overrunOf(failure({ ids: { ...told, [name]: -1 } }), plan), undefined, name);
  }
  t.end();
});
