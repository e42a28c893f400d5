import t from 'tap';
import {
  attribute,
  readSafetensors,
  tensorOf,
  writeSafetensors,
  type Graph,
  type Tensor,
} from '../../../graph/index.js';
import { layerNorm, linear, model, relu, sequential, tensor } from '../../../graph/nn/index.js';
import { referenceTo, weightsRules, type RunPlan, type WeightsField } from '../../../protocol/index.js';
import { Artifacts, distance, numbersIn, planOf } from './plans.js';
import { trainOnRanks } from './ranks.js';

t.setTimeout(180_000);

const artifacts = new Artifacts();
t.teardown(() => artifacts.remove());

const net = model({
  inputs: { input: tensor(6) },
  modules: {
    encoder: sequential(linear(16), layerNorm(), relu(), linear(8)),
    head: sequential(linear(8), relu(), linear(4)),
  },
  forward: ({ input }, m) => m.head(m.encoder(input).unary('Tanh')),
  seed: 3,
});
const table = artifacts.table(60, 6, 4);
const groups = [
  { parameters: '*.bias', weightDecay: 0 },
  { parameters: ['head.2.*'], lr: 0.03 },
];

async function train(shares: readonly number[], change: Partial<RunPlan> = {}, graph: Graph = net.graph) {
  const plan = planOf(artifacts.model(graph), table, shares, change);
  const { steps, weights } = await trainOnRanks(plan, artifacts.paths);
  return {
    steps,
    losses: steps.map(({ loss }) => loss),
    validated: steps.flatMap(({ validationLoss }) => validationLoss ?? []),
    file: weights,
    tensors: readSafetensors(weights).tensors,
  };
}

const from = (file: Uint8Array, rules?: Exclude<WeightsField, string>) =>
  weightsRules({ ...rules, file: referenceTo(artifacts.add(file)) });
const same = (a: Tensor | undefined, b: Tensor | undefined) =>
  distance(a!.data as Float32Array, b!.data as Float32Array) === 0;

t.test('groups and frozen parameters: two ranks learn what one does, over any buckets', async (t) => {
  const change: Partial<RunPlan> = {
    frozen: ['encoder.0.*', 'encoder.3.bias'],
    optimizer: { kind: 'adamw', lr: 0.01, weightDecay: 0.1, groups },
    clipNorm: 1,
    schedule: { kind: 'cosine', warmupSteps: 2 },
  };
  const one = await train([6], change);
  for (const bucketBytes of [2 ** 20, 256]) {
    const two = await train([4, 2], { ...change, bucketBytes });
    t.ok(distance(two.losses, one.losses) < 1e-5);
    t.ok(distance(numbersIn(two.file), numbersIn(one.file)) < 1e-5);
  }
  t.same([...one.tensors.keys()], [...net.graph.parameters.keys()], 'the frozen ones are in the weights');
  for (const [name, before] of net.graph.parameters) {
    const frozen = name.startsWith('encoder.0.') || name === 'encoder.3.bias';
    t.equal(same(one.tensors.get(name), before), frozen, name);
  }
  const plain = await train([6], { ...change, optimizer: { kind: 'adamw', lr: 0.01, weightDecay: 0.1 } });
  t.equal(plain.losses[0], one.losses[0]);
  t.not(plain.losses.at(-1), one.losses.at(-1), 'groups make a difference');
});

t.test('groups that repeat the settings of the optimizer change no bit', async (t) => {
  const optimizer = { kind: 'sgd' as const, lr: 0.05, momentum: 0.9, weightDecay: 0.01 };
  const without = await train([4, 2], { optimizer, bucketBytes: 256 });
  const repeated = { ...optimizer, groups: [{ parameters: 'head.*', lr: 0.05 }] };
  const withGroups = await train([4, 2], { optimizer: repeated, bucketBytes: 256 });
  t.ok(Buffer.from(without.file).equals(withGroups.file));
});

t.test('a group with a learning rate of 0 stands still, as if it were frozen', async (t) => {
  const optimizer = { kind: 'sgd' as const, lr: 0.05, groups: [{ parameters: 'encoder.*', lr: 0 }] };
  const still = await train([4, 2], { optimizer });
  const frozen = await train([4, 2], { optimizer: { kind: 'sgd', lr: 0.05 }, frozen: ['encoder.*'] });
  t.ok(distance(still.losses, frozen.losses) < 1e-6);
  t.ok(distance(numbersIn(still.file), numbersIn(frozen.file)) < 1e-6);
});

t.test('output weights are weights to start from: the loss goes on where it was', async (t) => {
  const change: Partial<RunPlan> = {
    data: { train: table, validation: table },
    totalSteps: 10,
    validateEverySteps: 10,
  };
  const first = await train([4, 2], change);
  const last = first.steps.at(-1)!.validationLoss!;
  // one step over all rows: its loss is that of the evaluation
  const again = await train([40, 20], { totalSteps: 1, weights: from(first.file) });
  t.ok(Math.abs(again.losses[0]! - last) < 1e-6 * last, `${again.losses[0]} after ${last}`);
  const frozen = await train([6], {
    totalSteps: 1,
    weights: from(first.file),
    frozen: ['encoder.*'],
  });
  t.ok(
    same(frozen.tensors.get('encoder.0.weight'), first.tensors.get('encoder.0.weight')),
    'frozen as loaded',
  );
  t.notOk(same(frozen.tensors.get('head.0.weight'), first.tensors.get('head.0.weight')));
});

t.test('a pretrained body under other names, a new head', async (t) => {
  const body = new Map<string, Tensor>();
  const values = (shape: readonly number[]) =>
    Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
  for (const [name, { shape }] of net.graph.parameters) {
    const renamed = name.replace(/^encoder\./, 'backbone.');
    const own = name.startsWith('head.2.') ? [...shape.slice(0, -1), 9] : shape; // made for nine classes
    body.set(renamed, { dtype: 'float32', shape: own, data: values(own) });
  }
  const weights = from(writeSafetensors(body), {
    file: '',
    rename: { 'backbone.': 'encoder.' },
    skip: 'head.2.*',
  });
  const tuned = await train([6], { totalSteps: 1, weights, frozen: ['encoder.*'] });
  t.ok(same(tuned.tensors.get('encoder.0.weight'), body.get('backbone.0.weight')));
});

t.test('running statistics come with the weights, and leave with them', async (t) => {
  const plain = model({ input: tensor(6), layers: linear(4), seed: 4 }).graph;
  const four = (value: number) => tensorOf('float32', [4], new Array<number>(4).fill(value));
  const normalized: Graph = {
    ...plain,
    nodes: [
      ...plain.nodes,
      {
        name: 'norm',
        operator: 'BatchNormalization',
        domain: '',
        inputs: ['output', 'norm.weight', 'norm.bias', 'norm.running_mean', 'norm.running_var'],
        outputs: ['normal'],
        attributes: { training_mode: attribute.int(1) },
      },
    ],
    outputs: [{ name: 'normal', dtype: 'float32', shape: ['batch', 4] }],
    parameters: new Map([...plain.parameters, ['norm.weight', four(1)], ['norm.bias', four(0)]]),
    constants: new Map([...plain.constants, ['norm.running_mean', four(0)], ['norm.running_var', four(1)]]),
  };
  const first = await train([6], { totalSteps: 4 }, normalized);
  const buffers = [...first.tensors.keys()].filter((name) => !normalized.parameters.has(name));
  t.equal(buffers.length, 2, buffers.join());
  // with PyTorch's counter beside them
  const file = writeSafetensors(
    new Map([
      ...first.tensors,
      ['norm.num_batches_tracked', { dtype: 'int64', shape: [], data: BigInt64Array.of(4n) }],
    ]),
  );
  const change: Partial<RunPlan> = { totalSteps: 1, weights: from(file), batchNormalization: 'freeze' };
  const again = await train([6], change, normalized);
  for (const name of buffers) t.ok(same(again.tensors.get(name), first.tensors.get(name)), name);
});

t.test('the loss compares the output that the job names; what only others need stays as it is', async (t) => {
  const [output] = net.graph.outputs;
  const other = {
    name: 'other',
    operator: 'MatMul',
    domain: '',
    inputs: ['input', 'side'],
    outputs: ['other'],
  };
  const side = tensorOf(
    'float32',
    [6, 4],
    Array.from({ length: 24 }, (_, i) => Math.sin(i)),
  );
  const graph: Graph = {
    ...net.graph,
    nodes: [...net.graph.nodes, { ...other, attributes: {} }],
    outputs: [{ ...output!, name: 'other' }, output!],
    parameters: new Map([...net.graph.parameters, ['side', side]]),
  };
  const validated = { data: { train: table, validation: table }, validateEverySteps: 5 } as const;
  const alone = await train([4, 2], validated);
  const named = await train([4, 2], { ...validated, lossOutput: output!.name }, graph);
  t.same(named.losses, alone.losses);
  t.same(named.validated, alone.validated);
  t.equal(named.validated.length, 2);
  t.ok(same(named.tensors.get('side'), side), 'in the results as it was');
  const first = await train([4, 2], {}, graph);
  t.not(first.losses[0], alone.losses[0]);
  t.notOk(same(first.tensors.get('side'), side), 'the first, where none is named');
  for (const [name, { data }] of net.graph.parameters) t.same(first.tensors.get(name)?.data, data, name);
});
