import { readFileSync } from 'node:fs';
import t from 'tap';
import type { Sha256 } from '../../../base/index.js';
import type { DatasetSpec } from '../../../data/index.js';
import {
  attribute,
  buildEvaluationGraph,
  evaluate,
  readSafetensors,
  tensorOf,
  toReference,
  type Graph,
  type Node,
  type Tensor,
} from '../../../graph/index.js';
import { artifactOf, type RunPlan } from '../../../protocol/index.js';
import type { RankModel } from '../../../worker/run/rank-model.js';
import { Artifacts, distance, planOf } from './plans.js';
import { trainOnRanks } from './ranks.js';

t.setTimeout(180_000);

const artifacts = new Artifacts();
t.teardown(() => artifacts.remove());
const table = artifacts.table(60, 6, 3);

const node = (
  operator: string,
  inputs: string[],
  outputs: string[],
  attributes: Node['attributes'] = {},
): Node => ({
  name: `${operator}:${outputs[0]!}`,
  operator,
  domain: '',
  inputs,
  outputs,
  attributes,
});
const values = (length: number, seed: number) =>
  Array.from({ length }, (_, i) => Math.sin(seed + 1.7 * i) / 2);

/** Six features, a dense layer, BatchNormalization, three classes. */
function normalized(training: number): Graph {
  return {
    name: 'normalized',
    inputs: [{ name: 'input', dtype: 'float32', shape: ['N', 6] }],
    outputs: [{ name: 'output', dtype: 'float32', shape: ['N', 3] }],
    nodes: [
      node('MatMul', ['input', 'first'], ['h']),
      node('BatchNormalization', ['h', 'scale', 'bias', 'mean', 'variance'], ['n'], {
        training_mode: attribute.int(training),
        momentum: attribute.float(0.8),
      }),
      node('Relu', ['n'], ['r']),
      node('MatMul', ['r', 'second'], ['output']),
    ],
    parameters: new Map([
      ['first', tensorOf('float32', [6, 5], values(30, 1))],
      ['scale', tensorOf('float32', [5], [1, 1, 1, 1, 1])],
      ['bias', tensorOf('float32', [5], [0, 0, 0, 0, 0])],
      ['second', tensorOf('float32', [5, 3], values(15, 2))],
    ]),
    constants: new Map([
      ['mean', tensorOf('float32', [5], [0, 0, 0, 0, 0])],
      ['variance', tensorOf('float32', [5], [1, 1, 1, 1, 1])],
    ]),
  };
}

async function train(shares: readonly number[], change: Partial<RunPlan> = {}, training = 1) {
  const plan = planOf(artifacts.model(normalized(training)), table, shares, change);
  const { weights, steps, messages } = await trainOnRanks(plan, artifacts.paths);
  const { tensors } = readSafetensors(weights);
  return { of: (name: string) => tensors.get(name)!.data as Float32Array, tensors, steps, messages };
}

t.test('the running statistics move, and are among the weights', async (t) => {
  const { of, tensors } = await train([6]);
  t.same([...tensors.keys()], ['first', 'scale', 'bias', 'second', 'mean', 'variance']);
  t.ok(of('mean').some((x) => Math.abs(x) > 1e-3));
  t.ok(of('variance').every((x) => x > 0 && Math.abs(x - 1) > 1e-3));
});

t.test(
  'several ranks end with the same statistics: means are those of one device, variances of shares',
  async (t) => {
    // nothing is learnt, so that the batches' statistics are those of the same activations however they are shared
    const still: Partial<RunPlan> = { optimizer: { kind: 'sgd', lr: 0 } };
    const single = await train([6], still);
    for (const shares of [
      [3, 3],
      [4, 2],
    ]) {
      const { ranks, of } = await statisticsOfRanks(shares, still);
      t.equal(ranks.length, 2);
      t.same(ranks[0], ranks[1], 'the same bits on both');
      t.same([...of('variance')], [...ranks[0]!.get('variance')!], 'and those are saved');
      t.ok(
        distance(of('mean'), single.of('mean')) < 1e-5,
        `${shares.join(':')}: the means are those of one device`,
      );
      const apart = distance(of('variance'), single.of('variance'));
      t.ok(
        apart > 1e-4 && apart < 0.5,
        `${shares.join(':')}: the variances are not, but they are near: ${apart}`,
      );
    }
  },
);

t.test('validation and checkpoints use the running statistics of all ranks', async (t) => {
  const validation = artifacts.table(23, 6, 3, 'validation');
  const change: Partial<RunPlan> = {
    data: { train: table, validation },
    validateEverySteps: 5,
    checkpointEverySteps: 5,
  };
  for (const shares of [[6], [4, 2]]) {
    const saved: Uint8Array[] = [];
    const plan = planOf(artifacts.model(normalized(1)), table, shares, change);
    const { steps, weights } = await trainOnRanks(plan, artifacts.paths, {
      report: (_, message) => {
        if (message.kind === 'checkpoint') saved.push(readFileSync(message.path));
      },
    });
    const validated = steps.filter(({ validationLoss }) => validationLoss !== undefined);
    t.same(
      validated.map(({ step }) => step),
      [5, 10],
    );
    t.equal(saved.length, 2);
    t.ok(Buffer.from(saved[1]!).equals(weights), 'the last checkpoint is the result');
    for (const [i, { validationLoss }] of validated.entries()) {
      const wanted = lossOf(readSafetensors(saved[i]!).tensors, validation);
      t.ok(
        Math.abs(validationLoss! - wanted) < 1e-5 * wanted,
        `${shares.join(':')}: ${validationLoss} ${wanted}`,
      );
    }
  }
});

t.test('what the job asks for counts, not what the exporter wrote', async (t) => {
  const trained = await train([6]);
  const asked = await train([6], { batchNormalization: 'train' }, 0);
  t.same(asked.tensors, trained.tensors);
  const left = await train([6], {}, 0);
  const frozen = await train([6], { batchNormalization: 'freeze' }, 1);
  t.same(frozen.tensors, left.tensors);
  t.same([...left.of('mean')], [0, 0, 0, 0, 0], 'what does not move is saved too');
  t.notSame(frozen.of('scale'), trained.of('scale'));
  const told = ({ messages }: typeof left) =>
    messages.flatMap((message) => (message.kind === 'log' ? [message.message] : []));
  t.ok(told(left).some((text) => /exported for prediction.*batchNormalization: train/.test(text)));
  for (const silent of [trained, asked, frozen])
    t.notOk(told(silent).some((text) => text.includes('exported for prediction')));
});

t.test('a rank that would normalize a single sample is refused before training', async (t) => {
  const refused = {
    family: 'user',
    code: 'bad_model',
    message: /node "BatchNormalization:n" .* only 1 sample at once.* batchNormalization: freeze/,
  };
  await t.rejects(train([5, 1]), refused, 'a share of one');
  const short = { ...table, rows: [0, 13] as [number, number] }; // batches of 6, 6 and 1
  const data = { train: short, validation: null };
  await t.rejects(train([6], { data, totalSteps: 3, stepsPerEpoch: 3 }), refused, 'a last batch of one');
  const two = await train([6], { data, totalSteps: 2, stepsPerEpoch: 3 });
  t.equal(two.steps.length, 2, 'which is not reached');
  const frozen = await train([5, 1], { batchNormalization: 'freeze', totalSteps: 2 });
  t.equal(frozen.steps.length, 2);
});

/** The statistics that each rank holds in the end, and the file. */
async function statisticsOfRanks(shares: readonly number[], change: Partial<RunPlan>) {
  const ranks: ReadonlyMap<string, Float32Array>[] = [];
  const plan = planOf(artifacts.model(normalized(1)), table, shares, change);
  const { weights } = await trainOnRanks(plan, artifacts.paths, {
    phase: (rank, phase, run) => {
      if (phase !== 'saving') return;
      const { compiled } = run as unknown as {
        readonly compiled: { readonly options: { readonly model: RankModel } };
      };
      const { model } = compiled.options;
      ranks[rank] = new Map(
        [...model.statistics.tensors()].map(([name, { data }]) => [
          name,
          Float32Array.from(data as Float32Array),
        ]),
      );
    },
  });
  const { tensors } = readSafetensors(weights);
  return { ranks, of: (name: string) => tensors.get(name)!.data as Float32Array };
}

/** The mean loss of a data set in float64, with the inference form of the model. */
function lossOf(tensors: ReadonlyMap<string, Tensor>, spec: DatasetSpec): number {
  const { path } = spec as { readonly path: string };
  const text = readFileSync(artifacts.paths.get(artifactOf(path) as Sha256)!, 'utf8');
  const rows = text
    .trim()
    .split('\n')
    .map((line) => line.split(',').map(Number));
  const batch = rows.length;
  const { graph, target, loss } = buildEvaluationGraph(normalized(1), { batch, loss: 'cross_entropy' });
  const values = new Map([...tensors].map(([name, tensor]) => [name, toReference(tensor)]));
  const features = Float64Array.from(rows.flatMap((row) => row.slice(0, 6).map(Math.fround)));
  values.set('input', { dtype: 'float32', shape: [batch, 6], data: features });
  values.set(target.name, {
    dtype: 'int64',
    shape: [batch],
    data: Float64Array.from(rows, (row) => row[6]!),
  });
  return evaluate(graph, values).get(loss)!.data[0]!;
}
