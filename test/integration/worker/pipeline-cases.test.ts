import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readModel, readSafetensors, type Graph } from '../../../graph/index.js';
import { dropout, layerNorm, linear, model, relu, sequential, tensor } from '../../../graph/nn/index.js';
import type { RunPlan } from '../../../protocol/index.js';
import { repositoryRoot } from '../../root.js';
import { tensors } from './datasets.js';
import { pipelined, stagesOf, type Layout } from './pipelines.js';
import { Artifacts, distance, planOf } from './plans.js';
import { trainOnRanks } from './ranks.js';

t.setTimeout(240_000);

const artifacts = new Artifacts();
t.teardown(() => artifacts.remove());
const table = artifacts.table(44, 6, 4); // an epoch of batches of 12 ends with 8
const BATCH = 12;
const one: Layout = { replicas: [[1]], kind: 'data-parallel', microBatches: 4 };
const three: Layout = { replicas: [[1], [1], [1]], kind: '1f1b', microBatches: 4 };

async function train(
  graph: Graph,
  layout: Layout,
  change: Partial<RunPlan> = {},
  plan?: (plan: RunPlan) => RunPlan,
) {
  const base = planOf(artifacts.model(graph), table, [BATCH], {
    totalSteps: 10,
    stepsPerEpoch: 4,
    clipNorm: 1,
    bucketBytes: 256,
    data: { train: table, validation: table },
    validateEverySteps: 5,
    ...change,
  });
  const count = layout.replicas.length * (layout.stagesPerRank ?? 1);
  const shapes = Object.fromEntries(graph.inputs.map(({ name }) => [name, [2, 6]]));
  const stages = count === 1 ? [[]] : stagesOf(graph, { loss: base.loss, shapes }, count);
  const laid = pipelined(base, layout, stages);
  const { steps, parts, messages } = await trainOnRanks(plan?.(laid) ?? laid, artifacts.paths);
  return {
    losses: steps.map(({ loss }) => loss),
    validated: steps.flatMap(({ validationLoss }) => validationLoss ?? []),
    weights: new Map(parts.flatMap((part) => [...readSafetensors(part).tensors])),
    messages,
  };
}

type Trained = Awaited<ReturnType<typeof train>>;

function alike(t: Test, found: Trained, single: Trained, what: string) {
  t.equal(found.losses.length, single.losses.length);
  t.ok(distance(found.losses, single.losses) < 1e-5, `${what}: losses`);
  t.ok(distance(found.validated, single.validated) < 1e-5, `${what}: validation losses`);
  t.same([...found.weights.keys()].sort(), [...single.weights.keys()].sort(), `${what}: all weights`);
  for (const [name, { data }] of single.weights) {
    const other = found.weights.get(name)!.data as Float32Array;
    t.ok(
      (data as Float32Array).every((value, i) => Math.abs(value - other[i]!) < 1e-4),
      `${what}: ${name}`,
    );
  }
}

const plain = model({
  input: tensor(6),
  layers: sequential(linear(16), layerNorm(), relu(), linear(16), relu(), linear(8), relu(), linear(4)),
  seed: 3,
}).graph;

t.test('dropout: masks are those of one device, in whatever stage and replica', async (t) => {
  const { graph } = model({
    input: tensor(6),
    layers: sequential(linear(16), dropout(0.3), relu(), linear(16), dropout(0.5), relu(), linear(4)),
    seed: 3,
  });
  const single = await train(graph, { ...one, microBatches: 1 });
  alike(t, await train(graph, three), single, '3 stages');
  const uneven: Layout = {
    ...three,
    replicas: [
      [2, 1],
      [1, 2],
    ],
    recompute: true,
  };
  alike(t, await train(graph, uneven), single, 'uneven replicas, recomputing');
});

t.test('first stages that are frozen compute no gradient, and are not sent any', async (t) => {
  const names = [...plain.parameters.keys()];
  for (const frozen of [names.slice(0, 2), names.slice(0, 6)]) {
    const change = { frozen, optimizer: { kind: 'adamw', lr: 0.01, weightDecay: 0.1 } } as const;
    const single = await train(plain, one, change);
    for (const layout of [
      three,
      { ...three, kind: 'zero-bubble' } as const,
      { ...three, replicas: [[1, 1], [1]] },
    ])
      alike(t, await train(plain, layout, change), single, `${frozen.length} frozen, ${layout.kind}`);
    for (const name of frozen)
      t.same(single.weights.get(name)!.data, plain.parameters.get(name)!.data, `${name} is as it was`);
  }
});

t.test('a job of groups, 16 bits on the wire: losses stay close to those of one device', async (t) => {
  const change: Partial<RunPlan> = {
    optimizer: { kind: 'adamw', lr: 0.01, groups: [{ parameters: '*.bias', weightDecay: 0 }] },
    wire: 'float16',
  };
  const single = await train(plain, one, change);
  const found = await train(plain, { ...three, replicas: [[1, 1], [2, 1], [1]] }, change);
  t.ok(distance(found.losses, single.losses) < 1e-2);
});

t.test('a stage in the middle may read inputs of the model as well', async (t) => {
  const { graph } = model({
    inputs: { input: tensor(6) },
    modules: { head: linear(6), body: linear(6), tail: linear(4) },
    forward: ({ input }, m) => m.tail(m.body(m.head(input).unary('Tanh')).plus(input)),
    seed: 3,
  });
  alike(t, await train(graph, three), await train(graph, one), 'input read again');
});

t.test('a short last batch may leave micro-batches and replicas without a sample', async (t) => {
  const few = artifacts.table(14, 6, 4); // 12, then 2
  const change: Partial<RunPlan> = { data: { train: few, validation: few }, stepsPerEpoch: 2 };
  const single = await train(plain, one, change);
  for (const layout of [
    three,
    {
      ...three,
      replicas: [
        [1, 1, 1],
        [2, 1],
      ],
      shardOptimizer: false,
    },
    { replicas: [[1, 2], [1]], kind: 'interleaved', stagesPerRank: 2, microBatches: 4 } as const,
  ])
    alike(t, await train(plain, layout, change), single, `${layout.replicas.length} pipeline ranks`);
});

t.test('every pipeline rank reports its part of each checkpoint, once', async (t) => {
  const { messages } = await train(
    plain,
    { ...three, replicas: [[1, 1], [1], [1]] },
    { checkpointEverySteps: 5 },
  );
  const found = messages.flatMap((m) => (m.kind === 'checkpoint' ? [`${m.step} of rank ${m.run.rank}`] : []));
  t.same(found.sort(), [
    '10 of rank 0',
    '10 of rank 2',
    '10 of rank 3',
    '5 of rank 0',
    '5 of rank 2',
    '5 of rank 3',
  ]);
});

t.test('resnet on 2 stages of 2 replicas is one device that accumulates over their parts', async (t) => {
  const onnx = await readFile(join(repositoryRoot, 'test/fixtures/models/resnet/model.onnx'));
  const { graph } = readModel(onnx);
  const data = tensors(artifacts, 24, [3, 16, 16], 10); // no short batch
  const plan = planOf({ sha256: artifacts.add(onnx), file: 'model.onnx' }, data, [BATCH], {
    optimizer: { kind: 'sgd', lr: 0.02, momentum: 0.9 },
    totalSteps: 10,
    bucketBytes: 16384,
    batchNormalization: 'train',
    data: { train: data, validation: data },
    validateEverySteps: 10,
  });
  const trained = async (layout: Layout, stages: string[][]) => {
    const { steps, parts } = await trainOnRanks(pipelined(plan, layout, stages), artifacts.paths);
    return { losses: steps.map(({ loss }) => loss), validated: steps.at(-1)!.validationLoss!, parts };
  };
  const single = await trained({ ...one, microBatches: 4 }, [[]]);
  const stages = stagesOf(graph, { loss: plan.loss, shapes: { input: [3, 3, 16, 16] } }, 2);
  const found = await trained(
    {
      replicas: [
        [1, 1],
        [1, 1],
      ],
      kind: '1f1b',
      microBatches: 2,
    },
    stages,
  );
  t.ok(distance(found.losses, single.losses) < 1e-4, 'losses');
  // running statistics are averaged over the replicas: those of one device move part by part
  t.ok(Math.abs(found.validated - single.validated) < 0.05 * single.validated, 'validation');
});
