import t from 'tap';
import { linear, model, relu, sequential, tensor } from '../../../graph/nn/index.js';
import { Pools } from '../../../worker/pipeline/pools.js';
import { openDatasets, describeOnly } from '../../../worker/run/datasets.js';
import { pipelined, stagesOf, type Layout } from './pipelines.js';
import { Artifacts, planOf } from './plans.js';
import { trainOnRanks } from './ranks.js';

t.setTimeout(120_000);

const artifacts = new Artifacts();
t.teardown(() => artifacts.remove());
const { graph } = model({
  input: tensor(6),
  layers: sequential(linear(8), relu(), linear(8), relu(), linear(8), relu(), linear(4)),
});
const table = artifacts.table(44, 6, 4);

/** What is taken from a stage's pools and was not given back; and the most of it at any time. */
class Count {
  out = 0;
  most = 0;

  add(change: number): void {
    this.out += change;
    this.most = Math.max(this.most, this.out);
  }
}

t.test('after every step all buffers are back, and a schedule needs no more of them later on', async (t) => {
  const counts = new Map<Pools, Count>();
  const countOf = (pools: Pools) => {
    const count = counts.get(pools) ?? new Count();
    counts.set(pools, count);
    return count;
  };
  const changes = { take: 1, takeSlot: 1, give: -1, giveSlot: -1 } as const;
  for (const [name, change] of Object.entries(changes) as [keyof typeof changes, 1 | -1][]) {
    const original = Reflect.get(Pools.prototype, name) as (...args: unknown[]) => unknown;
    t.intercept(Pools.prototype, name, {
      value: function (this: Pools, ...args: unknown[]) {
        countOf(this).add(change);
        return original.apply(this, args);
      },
    });
  }
  const layouts: readonly Layout[] = [
    { replicas: [[1], [1, 1], [1]], kind: '1f1b', microBatches: 4 },
    { replicas: [[1], [1]], kind: 'interleaved', stagesPerRank: 2, microBatches: 4 },
    { replicas: [[1], [1]], kind: 'zero-bubble', microBatches: 4 },
  ];
  for (const frozen of [[], ['0.*']]) {
    for (const layout of layouts) {
      counts.clear();
      const base = planOf(artifacts.model(graph), table, [12], { totalSteps: 10, frozen });
      const stages = stagesOf(
        graph,
        { loss: base.loss, shapes: { input: [2, 6] } },
        layout.replicas.length * (layout.stagesPerRank ?? 1),
      );
      let early: readonly number[] = [];
      await trainOnRanks(pipelined(base, layout, stages), artifacts.paths, {
        report: (_rank, message) => {
          if (message.kind === 'step' && message.numbers.step === 3)
            early = [...counts.values()].map(({ most }) => most);
        },
      });
      const what = `${layout.kind}, ${frozen.length === 0 ? 'all trained' : 'first layer frozen'}`;
      t.ok(counts.size >= stages.length, `${what}: each stage has pools`);
      for (const { out } of counts.values()) t.equal(out, 0, `${what}: all are back`);
      t.equal(early.length, counts.size);
      const ahead = 4; // depending on who is faster, a few more may be asked for before they are needed
      [...counts.values()].forEach(({ most }, i) =>
        t.ok(most <= early[i]! + ahead, `${what}: ${most} at most`),
      );
    }
  }
});

t.test('a rank that takes nothing from the data keeps its shape alone', async (t) => {
  const plan = planOf(artifacts.model(graph), table, [12], { data: { train: table, validation: table } });
  const opened = await openDatasets(plan, graph, artifacts.paths);
  const { train, validation } = describeOnly(opened);
  for (const dataset of [train, validation!]) {
    t.equal(dataset.bytes, 0);
    t.equal(dataset.length, 44);
    t.same(
      dataset.inputs.map(({ sampleShape }) => sampleShape),
      [[6]],
    );
    t.throws(() => dataset.read([0], 0, 1, { inputs: [], target: new BigInt64Array(1) }), {
      code: 'internal',
    });
    dataset.close();
  }
});
