import t from 'tap';
import type { LayerProfile, Unit } from '../../../scheduler/index.js';
import { CPU_FOOTPRINT as footprint } from '../../../scheduler/account.js';
import { UnitBytes, type Holding } from '../../../scheduler/planner/memory.js';

const work = { productFlops: 1e6, movedBytes: 1e3, launches: 1 };
const unit: Unit = {
  nodes: ['a'],
  parameters: [{ name: 'w', bytes: 4096, trained: true }],
  forward: work,
  backwardInput: work,
  backwardWeight: work,
  savedBytesPerSample: 1000,
  rereadBytesPerSample: 0,
  betweenBytesPerSample: 300,
  forwardBytesPerSample: 100,
  backwardBytesPerSample: 200,
};
const line = { base: 0, perSample: 1000 };
const layers: LayerProfile = {
  units: [unit, unit],
  cuts: [{ activationBytesPerSample: 8, gradientBytesPerSample: 8 }],
  tied: [],
  fused: { activationBytes: line, crossingBytes: { base: 0, perSample: 0 } },
};
const bytes = new UnitBytes(layers, { stateFactor: 2, batchBytesPerSample: 4, datasetBytes: 0 });
const holding = (split: boolean, from = 1): Holding => ({
  stages: [{ from, to: from + 1, inFlight: 3, split }],
  keeping: 'kept',
  replicas: 1,
  shardOptimizer: true,
  neighbours: 1,
});
const item = (split: boolean, what: string, from?: number) =>
  bytes.account(holding(split, from), 2).find((each) => each.what === what)?.bytes;

t.test('what one half of a backward pass leaves for the other is kept where they are apart', (t) => {
  t.equal(item(false, 'kept values'), 3 * 2 * 1000);
  t.equal(item(true, 'kept values'), 3 * 2 * 1300);
  t.equal(item(true, 'kept values', 0), 3 * 2 * 1000, 'the first stage has one half');
  t.end();
});

t.test('a job that is validated has another program with a batch of its own', (t) => {
  const job = { stateFactor: 2, batchBytesPerSample: 4, datasetBytes: 0 };
  const validated = new UnitBytes(layers, { ...job, validates: true });
  const whole: Holding = {
    ...holding(false),
    stages: [{ from: 0, to: 2, inFlight: 1 }],
    keeping: 'fused',
  };
  const has = (of: UnitBytes) => of.account(whole, 10).find(({ what }) => what === 'validation')?.bytes;
  t.equal(has(bytes), undefined);
  t.equal(has(validated), Math.ceil(10 * (footprint.arenaOverhead * (100 + 2 * 8) + 4)));
  t.end();
});

t.test('an account that just fits a budget fits it by the samples that are asked for, too', (t) => {
  for (const split of [false, true]) {
    const total = bytes.account(holding(split), 50).reduce((sum, each) => sum + each.bytes, 0);
    const most = new Float64Array(1);
    bytes.samplesWithin(Float64Array.of(total + 32), holding(split), [footprint], most);
    t.equal(most[0], 50);
  }
  t.end();
});
