import t from 'tap';
import { readSafetensors } from '../../../graph/index.js';
import {
  dropout,
  embedding,
  ids,
  linear,
  mean,
  model,
  relu,
  sequential,
  tensor,
  type Model,
} from '../../../graph/nn/index.js';
import { referenceTo, type RunPlan } from '../../../protocol/index.js';
import { npy } from '../../e2e/digits.js';
import { Artifacts, distance, numbersIn, planOf } from './plans.js';
import { trainOnRanks } from './ranks.js';

t.setTimeout(180_000);

const artifacts = new Artifacts();
t.teardown(() => artifacts.remove());

const classifier = model({
  input: tensor(6),
  layers: sequential(linear(16), relu(), linear(4)),
  seed: 3,
});
const table = artifacts.table(60, 6, 4);

async function train(
  built: Model,
  shares: readonly number[],
  change: Partial<RunPlan> = {},
  data: RunPlan['data']['train'] = table,
) {
  const plan = planOf(artifacts.model(built.graph), data, shares, change);
  const { steps, weights, messages } = await trainOnRanks(plan, artifacts.paths);
  return {
    losses: steps.map((step) => step.loss),
    weights: numbersIn(weights),
    steps,
    messages,
    file: weights,
  };
}

t.test('the same seed gives the same bits, another seed others', async (t) => {
  const [first, second, other] = [
    await train(classifier, [4, 2]),
    await train(classifier, [4, 2]),
    await train(classifier, [4, 2], { seed: 6 }),
  ];
  t.same(first.losses, second.losses);
  t.ok(Buffer.from(first.file).equals(second.file));
  t.notSame(first.losses, other.losses);
});

t.test('dropout: the same seed gives the same bits, another seed others', async (t) => {
  const dropping = model({
    input: tensor(6),
    layers: sequential(linear(16), relu(), dropout(0.3), linear(4)),
    seed: 3,
  });
  const still: Partial<RunPlan> = { optimizer: { kind: 'sgd', lr: 0 }, totalSteps: 3 }; // only masks differ then
  const first = await train(dropping, [4, 2], still);
  t.same((await train(dropping, [4, 2], still)).losses, first.losses);
  t.notSame((await train(dropping, [4, 2], { ...still, seed: 6 })).losses, first.losses);
  const single = await train(dropping, [6], still);
  t.ok(distance(first.losses, single.losses) < 1e-6, 'a sample has its mask on whatever rank it is');
  t.not(first.losses[0], first.losses[1], 'each step draws anew');
});

t.test('a short last batch may leave a rank without a sample', async (t) => {
  const rows = { ...table, rows: [0, 13] as [number, number] }; // batches of 6, 6 and 1
  const change = { totalSteps: 9, stepsPerEpoch: 3 };
  const single = await train(classifier, [6], change, rows);
  const three = await train(classifier, [2, 2, 2], change, rows);
  t.equal(single.losses.length, 9);
  t.ok(distance(three.losses, single.losses) < 1e-5);
  t.ok(distance(three.weights, single.weights) < 1e-4);
});

t.test(
  'validation is the same on any number of ranks, dropout is off in it and equal in training',
  async (t) => {
    const dropping = model({
      input: tensor(6),
      layers: sequential(linear(16), relu(), dropout(0.3), linear(4)),
      seed: 3,
    });
    const change: Partial<RunPlan> = {
      data: { train: table, validation: artifacts.table(23, 6, 4, 'validation') },
      totalSteps: 6,
      validateEverySteps: 3,
    };
    const single = await train(dropping, [6], change);
    const three = await train(dropping, [3, 1, 2], change);
    t.ok(distance(three.losses, single.losses) < 1e-5, 'training');
    const validated = (steps: typeof single.steps) =>
      steps.filter((step) => step.validationLoss !== undefined);
    t.equal(validated(single.steps).length, 2);
    for (const [i, { validationLoss, validationAccuracy }] of validated(single.steps).entries()) {
      const other = validated(three.steps)[i]!;
      t.ok(Math.abs(other.validationLoss! - validationLoss!) < 1e-5 * validationLoss!);
      t.equal(other.validationAccuracy, validationAccuracy);
    }
  },
);

t.test('the number of buckets does not change what is learnt', async (t) => {
  const one = await train(classifier, [4, 2]);
  const many = await train(classifier, [4, 2], { bucketBytes: 64 });
  t.ok(distance(many.losses, one.losses) < 1e-6);
  t.ok(distance(many.weights, one.weights) < 1e-5);
});

t.test('more ranks than a small model has cache lines', async (t) => {
  const tiny = model({ input: tensor(6), layers: linear(4, { bias: false }) });
  const single = await train(tiny, [6], { clipNorm: 0.1 });
  const six = await train(tiny, [1, 1, 1, 1, 1, 1], { clipNorm: 0.1 });
  t.ok(distance(six.losses, single.losses) < 1e-5);
  t.ok(distance(six.weights, single.weights) < 1e-4);
});

t.test('16-bit wires learn as well', async (t) => {
  const change: Partial<RunPlan> = { totalSteps: 60, optimizer: { kind: 'adamw', lr: 0.03 } };
  const exact = (await train(classifier, [4, 2], change)).losses;
  for (const wire of ['float16', 'bfloat16'] as const) {
    const { losses } = await train(classifier, [4, 2], { ...change, wire });
    t.ok(losses.at(-1)! < 0.5 * losses[0]!, `${wire}: ${losses[0]} to ${losses.at(-1)}`);
    t.ok(distance(losses, exact) < 0.1, `${wire} stays near float32`);
    t.notSame(losses, exact);
  }
});

t.test('parameters that get no gradient stay as they are', async (t) => {
  const partly = model({
    inputs: { input: tensor(6) },
    modules: { trained: linear(4), frozen: linear(4) },
    forward: ({ input }, m) => m.trained(input).plus(m.frozen(input).unary('Sign')),
  });
  const { file } = await train(partly, [4, 2]);
  const after = readSafetensors(file).tensors;
  for (const [name, { data }] of partly.graph.parameters) {
    const apart = distance(after.get(name)!.data as Float32Array, data as Float32Array);
    t.equal(apart === 0, name.startsWith('frozen'), `${name} moved by ${apart}`);
  }
});

t.test('a model of several inputs', async (t) => {
  const joined = model({
    inputs: { words: ids(3), extra: tensor(2) },
    modules: { table: embedding(10, 4), pool: mean(1), mix: linear(4), head: linear(2) },
    forward: ({ words, extra }, m) => m.head(m.pool(m.table(words)).plus(m.mix(extra))),
    seed: 1,
  });
  const rows = 20;
  const file = (bytes: Buffer) => referenceTo(artifacts.add(bytes));
  const words = BigInt64Array.from({ length: 3 * rows }, (_, i) => BigInt((i * 7) % 10));
  const extra = Float32Array.from({ length: 2 * rows }, (_, i) => Math.sin(i));
  const target = BigInt64Array.from({ length: rows }, (_, i) => BigInt(i % 2));
  const data = {
    format: 'npy' as const,
    inputs: {
      extra: file(npy('<f4', [rows, 2], extra)),
      words: file(npy('<i8', [rows, 3], words)),
    },
    target: file(npy('<i8', [rows], target)),
  };
  const single = await train(joined, [5], { totalSteps: 8, stepsPerEpoch: 4 }, data);
  const two = await train(joined, [3, 2], { totalSteps: 8, stepsPerEpoch: 4 }, data);
  t.ok(distance(two.losses, single.losses) < 1e-5);
});

t.test('each rank tells what memory it took, and when that is over its budget', async (t) => {
  const plan = planOf(artifacts.model(classifier.graph), table, [4, 2], { totalSteps: 2 });
  const [first, second] = plan.ranks;
  const ranks = [first!, { ...second!, budgetBytes: 2 ** 20 }];
  const { messages } = await trainOnRanks({ ...plan, ranks }, artifacts.paths);
  const logs = messages.filter((message) => message.kind === 'log');
  t.match(
    logs.sort((a, b) => a.run.rank - b.run.rank),
    [
      { level: 'info', message: /^d0: its executor held at most .* of a budget of 954 MiB; accounted for/ },
      { level: 'warn', message: /^d1: .* of a budget of 1.00 MiB, .* over; accounted for/ },
    ],
  );
});

t.test('a loss that leaves the reals ends the run with advice', async (t) => {
  const change: Partial<RunPlan> = { optimizer: { kind: 'sgd', lr: 1e30 }, loss: 'mse' };
  const regressor = model({ input: tensor(6), layers: linear(1) });
  await t.rejects(train(regressor, [4, 2], change), {
    family: 'user',
    code: 'diverged',
    message: /step \d+: the (loss|gradient) became .*lower the learning rate/,
  });
});
