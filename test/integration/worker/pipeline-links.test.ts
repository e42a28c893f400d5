import { rmSync } from 'node:fs';
import t from 'tap';
import { linear, model, relu, sequential, tensor } from '../../../graph/nn/index.js';
import { pipelined } from './pipelines.js';
import { Artifacts, planOf } from './plans.js';
import { runRanks } from './ranks.js';

t.setTimeout(60_000);

const artifacts = new Artifacts();
t.teardown(() => artifacts.remove());

t.test('ranks tell what they sent to which other, and how long that took', async (t) => {
  const { graph } = model({ input: tensor(6), layers: sequential(linear(16), relu(), linear(4)) });
  const [steps, batch] = [5, 12];
  const plan = planOf(artifacts.model(graph), artifacts.table(60, 6, 4), [batch], { totalSteps: steps });
  const names = graph.nodes.map(({ name }) => name);
  const cut = graph.nodes.findIndex(({ operator }) => operator === 'Relu');
  const stages = [names.slice(0, cut), names.slice(cut)];
  const layout = { replicas: [[1], [1]], kind: '1f1b', microBatches: 3 } as const;
  const { ranks, folder } = await runRanks(pipelined(plan, layout, stages), artifacts.paths);
  rmSync(folder, { recursive: true, force: true });
  const links = ranks.map((rank) => (rank.status === 'fulfilled' ? rank.value.summary.links : []));
  const bytes = steps * batch * 16 * 4;
  t.match(links, [[{ toRank: 1, bytes, messageBytes: bytes / steps / 3 }], [{ toRank: 0, bytes }]]);
  for (const [flow] of links) t.ok(flow!.messageSeconds > 0 && flow!.messageSeconds < flow!.seconds);
});
