import t from 'tap';
import { openDataset } from '../../../data/index.js';
import { linear, model, relu, sequential, tensor } from '../../../graph/nn/index.js';
import { artifactOf, dataWishes, type RunPlan } from '../../../protocol/index.js';
import { ComputeThread } from '../../../worker/engine/index.js';
import { EngineParameters } from '../../../worker/run/engine-parameters.js';
import { HostUpdate } from '../../../worker/run/host-update.js';
import { RankMemory } from '../../../worker/run/rank-memory.js';
import { worldRing } from '../../../worker/run/rings.js';
import { Update } from '../../../worker/run/update.js';
import { RankModel } from '../../../worker/run/rank-model.js';
import { Trainer } from '../../../worker/run/trainer.js';
import { memoryRing } from '../../unit/collectives/memory-ring.js';
import { Artifacts, planOf } from './plans.js';

const { graph } = model({ input: tensor(6), layers: sequential(linear(16), relu(), linear(4)), seed: 3 });

for (const wire of ['float32', 'float16', 'bfloat16'] as const) {
  t.test(`${wire} on the wire: every rank has the same bits after every step`, async (t) => {
    const artifacts = new Artifacts();
    t.teardown(() => artifacts.remove());
    const train = artifacts.table(20, 6, 4);
    const plan: RunPlan = planOf(artifacts.model(graph), train, [3, 2, 1], { wire, bucketBytes: 256 });
    const resolve = (file: string) => artifacts.paths.get(artifactOf(file)!)!;
    const dataset = await openDataset(train, { resolve, ...dataWishes(graph, plan.loss) });
    t.teardown(() => dataset.close());
    const ring = await memoryRing(3, { wire });
    const ranks = await Promise.all(
      ring.map(async ({ communicator, arena }, rank) => {
        const thread = await ComputeThread.start({ engine: 'onnxruntime', threads: 1 });
        t.teardown(() => thread.close());
        const rankModel = new RankModel(graph, plan, dataset, thread);
        const { settings } = rankModel;
        const { rule } = settings[0]!;
        const spread = { ringOf: (id: number) => ({ size: 3, rank, id }), sharded: true };
        const memory = new RankMemory(arena, rankModel.buckets, rule, spread);
        memory.load(graph.parameters);
        const parameters = await EngineParameters.place(thread, memory, []);
        const update = new Update(plan, memory, worldRing(communicator), settings);
        const updating = new HostUpdate(memory, parameters, update);
        const trainer = new Trainer(plan, rank, dataset, rankModel.training, parameters, updating);
        return { trainer, memory };
      }),
    );
    t.ok(ranks[0]!.memory.buckets.length > 1, 'several buckets');
    for (let step = 0; step < 6; step++) {
      const results = await Promise.all(ranks.map(({ trainer }) => trainer.step(step)));
      t.ok(results.every(({ loss }) => loss === results[0]!.loss));
      for (const [bucket, { parameters }] of ranks[0]!.memory.buckets.entries()) {
        for (const { memory } of ranks.slice(1))
          t.strictSame(memory.buckets[bucket]!.parameters.values, parameters.values);
      }
    }
    await Promise.all(ring.map(({ communicator }) => communicator.close()));
  });
}
