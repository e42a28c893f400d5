import t, { type Test } from 'tap';
import type { DatasetSpec } from '../../../data/index.js';
import {
  attribute,
  readSafetensors,
  tensorOf,
  writeSafetensors,
  type Graph,
  type Node,
  type Tensor,
} from '../../../graph/index.js';
import { linear, model, relu, sequential, tensor } from '../../../graph/nn/index.js';
import { referenceTo, weightsRules, type RunPlan } from '../../../protocol/index.js';
import { severalInputs } from './datasets.js';
import { pipelined, stagesOf, type Layout } from './pipelines.js';
import { Artifacts, distance, planOf } from './plans.js';
import { trainOnRanks } from './ranks.js';

// What a stage is given from outside its neighbours: inputs of the data, start values, statistics, frozen parameters.

t.setTimeout(180_000);

const artifacts = new Artifacts();
t.teardown(() => artifacts.remove());
const BATCH = 12;
const table = artifacts.table(44, 6, 4); // an epoch of batches of 12 ends with 8
const one: Layout = { replicas: [[1]], kind: 'data-parallel', microBatches: 4 };
const two: Layout = { replicas: [[1], [1]], kind: '1f1b', microBatches: 4 };

/** Trains on one rank with no stages, or on as many pipeline ranks as the layout has. */
async function train(
  graph: Graph,
  data: DatasetSpec,
  layout: Layout,
  change: Partial<RunPlan> = {},
  cut: (graph: Graph) => string[][] = () => [[]],
) {
  const base = planOf(artifacts.model(graph), data, [BATCH], {
    totalSteps: 6,
    stepsPerEpoch: 4,
    clipNorm: 1,
    bucketBytes: 256,
    data: { train: data, validation: data },
    validateEverySteps: 3,
    ...change,
  });
  const { steps, parts } = await trainOnRanks(pipelined(base, layout, cut(graph)), artifacts.paths);
  return {
    losses: steps.map(({ loss }) => loss),
    validated: steps.flatMap(({ validationLoss }) => validationLoss ?? []),
    parts: parts.map((part) => readSafetensors(part).tensors),
    weights: new Map(parts.flatMap((part) => [...readSafetensors(part).tensors])),
  };
}

type Trained = Awaited<ReturnType<typeof train>>;

function alike(t: Test, found: Trained, single: Trained, what = 'pipeline') {
  t.equal(found.losses.length, single.losses.length);
  t.ok(distance(found.losses, single.losses) < 1e-5, `${what}: losses`);
  t.ok(distance(found.validated, single.validated) < 1e-5, `${what}: validation losses`);
  t.same([...found.weights.keys()].sort(), [...single.weights.keys()].sort(), `${what}: all weights, once`);
  for (const [name, { data }] of single.weights)
    t.ok(
      distance(found.weights.get(name)!.data as Float32Array, data as Float32Array) < 1e-4,
      `${what}: ${name}`,
    );
}

/** Stages of about as many units each. */
const inStages =
  (count: number, shapes: Record<string, number[]>, loss: RunPlan['loss'] = 'cross_entropy') =>
  (graph: Graph) =>
    stagesOf(graph, { loss, shapes }, count);

t.test(
  'several inputs: one that only the last stage reads, and one that the first and the last read',
  async (t) => {
    const { graph } = model({
      inputs: { image: tensor(6), context: tensor(3), gate: tensor(8) },
      modules: {
        head: sequential(linear(16), relu(), linear(16)),
        body: sequential(relu(), linear(8)),
        beside: linear(8),
        tail: linear(4),
      },
      forward: ({ image, context, gate }, m) =>
        m.tail(m.body(m.head(image).unary('Tanh')).times(gate).plus(m.beside(context))),
      seed: 3,
    });
    const shapes = { image: [6], context: [3], gate: [8] };
    const data = severalInputs(artifacts, 44, shapes, 4);
    const cut = (count: number) =>
      inStages(
        count,
        Object.fromEntries(Object.entries(shapes).map(([name, shape]) => [name, [2, ...shape]])),
      );
    const single = await train(graph, data, one);
    alike(t, await train(graph, data, two, {}, cut(2)), single, '2 stages');
    const replicas: Layout = {
      ...two,
      replicas: [
        [2, 1],
        [1, 2],
      ],
      kind: 'zero-bubble',
    };
    alike(t, await train(graph, data, replicas, {}, cut(2)), single, 'uneven replicas');
    const interleaved: Layout = { ...two, kind: 'interleaved', stagesPerRank: 2 };
    alike(t, await train(graph, data, interleaved, {}, cut(4)), single, 'interleaved');
  },
);

const net = model({
  inputs: { input: tensor(6) },
  modules: {
    encoder: sequential(linear(16), relu(), linear(8)),
    head: sequential(linear(8), relu(), linear(4)),
  },
  forward: ({ input }, m) => m.head(m.encoder(input).unary('Tanh')),
  seed: 3,
}).graph;
const netCut = inStages(2, { input: [2, 6] });

t.test('start values from a file: each stage takes its own', async (t) => {
  const start = new Map<string, Tensor>(
    [...net.parameters].map(([name, { shape, data }], place) => {
      const values = Array.from({ length: data.length }, (_, i) => Math.sin(place + 1.3 * i) / 3);
      return [name, tensorOf('float32', shape, values)];
    }),
  );
  const weights = weightsRules({ file: referenceTo(artifacts.add(writeSafetensors(start))) });
  const single = await train(net, table, one, { weights });
  const plain = await train(net, table, one, { totalSteps: 1 });
  t.not(single.losses[0], plain.losses[0], 'the start values make a difference');
  const found = await train(net, table, two, { weights }, netCut);
  alike(t, found, single);
  t.equal(found.parts.length, 2);
  t.ok(found.parts[0]!.has('encoder.0.weight') && !found.parts[1]!.has('encoder.0.weight'));

  const half = new Map([...start].filter(([name]) => name.startsWith('encoder.')));
  const partly = weightsRules({
    file: referenceTo(artifacts.add(writeSafetensors(half))),
    allowMissing: true,
  });
  alike(
    t,
    await train(net, table, two, { weights: partly }, netCut),
    await train(net, table, one, { weights: partly }),
    'values for the first stage alone',
  );
});

t.test('a stage without any trained parameter: first, or last', async (t) => {
  for (const frozen of [['encoder.*'], ['head.*'], ['encoder.0.*', 'head.*']]) {
    const change: Partial<RunPlan> = { frozen, optimizer: { kind: 'adamw', lr: 0.01, weightDecay: 0.1 } };
    const single = await train(net, table, one, change);
    const cut = (): string[][] => {
      const names = net.nodes.map(({ name }) => name);
      const at = net.nodes.findIndex((node) => node.inputs.some((input) => input.startsWith('head.')));
      return [names.slice(0, at), names.slice(at)];
    };
    for (const layout of [two, { ...two, replicas: [[1, 1], [1]] }, { ...two, kind: 'zero-bubble' } as const])
      alike(t, await train(net, table, layout, change, cut), single, `${frozen.join()} ${layout.kind}`);
    for (const [name, { data }] of net.parameters) {
      const still = frozen.some((pattern) => name.startsWith(pattern.slice(0, -1)));
      const now = single.weights.get(name)!.data as Float32Array;
      t.equal(distance(now, data as Float32Array) === 0, still, `${name} ${still ? 'stays' : 'learns'}`);
    }
  }
});

const node = (
  operator: string,
  inputs: string[],
  output: string,
  attributes: Node['attributes'] = {},
): Node => ({
  name: `${operator}:${output}`,
  operator,
  domain: '',
  inputs,
  outputs: [output],
  attributes,
});
const values = (length: number, seed: number) =>
  Array.from({ length }, (_, i) => Math.sin(seed + 1.7 * i) / 2);

/** Two dense layers with BatchNormalization behind each, three classes. */
const normalized: Graph = {
  name: 'normalized',
  inputs: [{ name: 'input', dtype: 'float32', shape: ['N', 6] }],
  outputs: [{ name: 'output', dtype: 'float32', shape: ['N', 3] }],
  nodes: [
    node('MatMul', ['input', 'first'], 'h1'),
    node('BatchNormalization', ['h1', 'scale1', 'bias1', 'mean1', 'variance1'], 'n1', {
      momentum: attribute.float(0.8),
    }),
    node('Relu', ['n1'], 'r1'),
    node('MatMul', ['r1', 'second'], 'h2'),
    node('BatchNormalization', ['h2', 'scale2', 'bias2', 'mean2', 'variance2'], 'n2', {
      momentum: attribute.float(0.8),
    }),
    node('Relu', ['n2'], 'r2'),
    node('MatMul', ['r2', 'third'], 'output'),
  ],
  parameters: new Map([
    ['first', tensorOf('float32', [6, 5], values(30, 1))],
    ['scale1', tensorOf('float32', [5], [1, 1.1, 0.9, 1, 1.2])],
    ['bias1', tensorOf('float32', [5], values(5, 3))],
    ['second', tensorOf('float32', [5, 5], values(25, 2))],
    ['scale2', tensorOf('float32', [5], [0.9, 1, 1.1, 1, 1])],
    ['bias2', tensorOf('float32', [5], values(5, 4))],
    ['third', tensorOf('float32', [5, 3], values(15, 5))],
  ]),
  constants: new Map([
    ['mean1', tensorOf('float32', [5], values(5, 6))],
    ['variance1', tensorOf('float32', [5], [1, 0.5, 0.8, 1.3, 1])],
    ['mean2', tensorOf('float32', [5], values(5, 7))],
    ['variance2', tensorOf('float32', [5], [0.7, 1, 1, 0.9, 1.1])],
  ]),
};

for (const batchNormalization of ['exported', 'freeze', 'train'] as const) {
  t.test(`BatchNormalization in both stages, ${batchNormalization}`, async (t) => {
    const three = artifacts.table(48, 6, 3); // no short batch: statistics are those of a micro-batch
    const names = normalized.nodes.map(({ name }) => name);
    const cut = () => [names.slice(0, 4), names.slice(4)];
    const change: Partial<RunPlan> = { batchNormalization, stepsPerEpoch: 4 };
    const single = await train(normalized, three, one, change);
    const found = await train(normalized, three, two, change, cut);
    alike(t, found, single);
    for (const [name, { data }] of normalized.constants) {
      const moved = distance(single.weights.get(name)!.data as Float32Array, data as Float32Array) > 0;
      t.equal(moved, batchNormalization === 'train', `${name} ${moved ? 'moves' : 'stays'}`);
    }
    const own = found.parts.findIndex((part) => part.has('mean2'));
    t.equal(
      own,
      batchNormalization === 'train' ? 1 : 0,
      'who moves statistics reports them, else the first rank',
    );
  });
}
