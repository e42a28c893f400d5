import t from 'tap';
import {
  ARENA_OVERHEAD,
  DEFAULT_LINK,
  RUNTIME_BYTES,
  planDataParallel,
  type Device,
  type ModelProfile,
} from '../../../scheduler/index.js';

const MIB = 2 ** 20;
const profile: ModelProfile = {
  parameterBytes: 10 * MIB,
  trainedBytes: 10 * MIB,
  flopsPerSample: 1e9,
  activationBytes: { base: 5 * MIB, perSample: MIB },
  crossingBytes: { base: 0, perSample: 0 },
  batchBytes: { base: 0, perSample: 1000 },
  stateFactor: 2,
  datasetBytes: MIB,
};
const device = (id: string, flops: number, memory = 4096): Device => ({
  id,
  host: id.split('/')[0]!,
  kind: 'cpu',
  memoryBytes: memory * MIB,
  flops,
});
const plan = (
  devices: readonly Device[],
  batch: number,
  more: { replicas?: number; shares?: readonly number[] } = {},
) =>
  planDataParallel({ profile, nodes: ['n'], parameters: ['p'], batch, devices, link: DEFAULT_LINK, ...more });
const sharesOf = (...args: Parameters<typeof plan>) =>
  plan(...args).stages[0]!.replicas.map((r) => r.samplesPerStep);

t.test('shares follow measured speed', (t) => {
  t.same(sharesOf([device('a/cpu:0', 3e10), device('b/cpu:0', 1e10)], 16), [12, 4]);
  t.same(sharesOf([device('a/cpu:0', 3e10), device('b/cpu:0', 1e10)], 16, { shares: [1, 1] }), [8, 8]);
  t.end();
});

t.test('a small budget caps a share, and every plan fits its budgets', (t) => {
  const fixed = RUNTIME_BYTES / MIB + 32 + 2 * 20 + 10 + ARENA_OVERHEAD * 5 + 1;
  const tight = device('a/cpu:0', 9e10, fixed + ARENA_OVERHEAD * 4.5);
  const made = plan([tight, device('b/cpu:0', 1e10)], 16);
  t.same(
    made.stages[0]!.replicas.map((r) => r.samplesPerStep),
    [4, 12],
  );
  for (const replica of made.stages[0]!.replicas)
    t.ok(replica.predictedPeakBytes <= replica.budgetBytes, replica.device);
  t.end();
});

t.test('devices that cannot help are left out and named', (t) => {
  const made = plan([device('a/cpu:0', 1e12), device('slow/cpu:0', 1e9), device('tiny/cpu:0', 1e12, 10)], 8);
  t.same(
    made.stages[0]!.replicas.map((r) => r.device),
    ['a/cpu:0'],
  );
  t.match(made.rejected, [
    { plan: 'with tiny/cpu:0', reason: /budget is 10/ },
    { plan: 'with slow/cpu:0', reason: /too slow/ },
  ]);
  t.end();
});

t.test('refusals say what is short and by how much', (t) => {
  t.throws(() => plan([device('a/cpu:0', 1e10, 100)], 4), {
    code: 'budget_too_small',
    message: /a\/cpu:0.*short by.*memory=/,
  });
  t.throws(() => plan([device('a/cpu:0', 1), device('b/cpu:0', 1), device('c/cpu:0', 1)], 2), {
    code: 'batch_too_small',
    message: /batch: 2 is smaller than the 3 devices/,
  });
  const two = [device('a/cpu:0', 1), device('b/cpu:0', 1)];
  t.throws(() => plan(two, 8, { shares: [100, 1] }), {
    code: 'bad_shares',
    message: /\[100, 1\] of a batch of 8 leaves b\/cpu:0 without a sample; use batch: 101 or more/,
  });
  t.throws(() => plan(two, 8, { replicas: 1, shares: [3, 1] }), {
    code: 'bad_shares',
    message: /2 shares for 1 devices/,
  });
  t.throws(() => plan([device('a/cpu:0', 1)], 2, { replicas: 2 }), {
    code: 'bad_placement',
    message: /asks for 2 devices, but 1/,
  });
  t.throws(() => plan([], 2), { code: 'bad_placement', message: /no device has joined/ });
  t.throws(() => plan([device('a/cpu:0', 1e10, 300)], 4000), {
    code: 'budget_too_small',
    message: /together hold/,
  });
  t.end();
});

t.test('a thousand devices', (t) => {
  const devices = Array.from({ length: 1000 }, (_, i) => device(`h${i}/cpu:0`, 1e10 * (1 + (i % 5))));
  const made = plan(devices, 20_000);
  t.equal(
    made.stages[0]!.replicas.reduce((sum, r) => sum + r.samplesPerStep, 0),
    20_000,
  );
  t.end();
});
