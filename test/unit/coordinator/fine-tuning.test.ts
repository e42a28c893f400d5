import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { sha256 } from '../../../base/index.js';
import { inspectJob, type Inspection } from '../../../coordinator/prepare/inspect.js';
import {
  buildTrainingGraph,
  byteLengthOf,
  tensorOf,
  writeGraph,
  writeSafetensors,
  type Tensor,
} from '../../../graph/index.js';
import { linear, model, relu, sequential, tensor } from '../../../graph/nn/index.js';
import { referenceTo, type JobSpec } from '../../../protocol/index.js';
import type { Unit } from '../../../scheduler/index.js';

const net = model({
  inputs: { input: tensor(2) },
  modules: { encoder: sequential(linear(64), relu(), linear(64), relu()), head: linear(1) },
  forward: ({ input }, m) => m.head(m.encoder(input)),
}).graph;

/** Inspects a job of the model on three rows of two features and a target. */
async function inspect(change: Partial<JobSpec>, weights?: ReadonlyMap<string, Tensor>): Promise<Inspection> {
  const folder = mkdtempSync(join(tmpdir(), 'dtrain-test-'));
  const paths = new Map<string, string>();
  const artifact = (bytes: Uint8Array): string => {
    const hash = sha256(bytes);
    paths.set(hash, join(folder, hash));
    writeFileSync(paths.get(hash)!, bytes);
    return referenceTo(hash);
  };
  const job: JobSpec = {
    name: 'table',
    model: artifact(writeGraph(net)),
    data: {
      train: {
        format: 'csv',
        path: artifact(Buffer.from('1,2,3\n4,5,6\n7,8,9\n')),
        target: -1,
        header: false,
      },
    },
    loss: 'mse',
    optimizer: { kind: 'adamw', lr: 0.1 },
    batch: 2,
    ...change,
    ...(weights ? { weights: { file: artifact(writeSafetensors(weights)) } } : {}),
  };
  try {
    return await inspectJob(job, paths);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const bytesOf = (names: readonly string[]) =>
  names.reduce((sum, name) => sum + byteLengthOf(net.parameters.get(name)!), 0);
const all = [...net.parameters.keys()];

t.test('only trained parameters are differentiated and have state', async (t) => {
  const unitsOf = async (change: Partial<JobSpec>) => (await inspect(change)).model.layers.units;
  const parameters = (units: readonly Unit[]) =>
    units.flatMap((unit) => unit.parameters).reduce((sum, { bytes }) => sum + bytes, 0);
  const trained = (units: readonly Unit[]) =>
    units.flatMap((unit) => unit.parameters).reduce((sum, each) => sum + (each.trained ? each.bytes : 0), 0);
  const flops = (units: readonly Unit[]) =>
    units
      .flatMap(({ forward, backwardInput, backwardWeight }) => [forward, backwardInput, backwardWeight])
      .reduce((sum, { productFlops }) => sum + productFlops, 0);
  const whole = await unitsOf({});
  t.equal(parameters(whole), bytesOf(all));
  t.equal(trained(whole), parameters(whole));
  const tuned = await unitsOf({ frozen: 'encoder.*' });
  t.equal(parameters(tuned), parameters(whole));
  t.equal(trained(tuned), bytesOf(['head.weight', 'head.bias']));
  t.ok(flops(tuned) < 0.5 * flops(whole), 'no backward pass through the encoder');
  t.equal((await inspect({})).model.job.stateFactor, 2, 'two floats for each that is');
});

t.test('nothing is computed that only a frozen parameter needs', (t) => {
  const options = { loss: 'mse' as const, batch: 4 };
  const build = (parameters: readonly string[]) => buildTrainingGraph(net, { ...options, parameters });
  const head = build(['head.weight', 'head.bias']);
  t.same([...head.gradients.keys()], ['head.weight', 'head.bias']);
  t.same(
    head.withoutGradient,
    all.filter((name) => name.startsWith('encoder.')),
  );
  const products = ({ graph }: typeof head) =>
    graph.nodes.filter(({ operator }) => ['Gemm', 'MatMul'].includes(operator)).length;
  t.equal(products(head), 3 + 1, 'three forward, one for the gradient of the head');
  t.equal(products(build(all)), 3 + 5);
  const late = build(all.filter((name) => name.startsWith('encoder.2.') || name.startsWith('head.')));
  t.equal(products(late), 3 + 3, 'the gradient stops where nothing before it is trained');
  t.end();
});

t.test('patterns are checked against the model at submit', async (t) => {
  await t.rejects(inspect({ frozen: ['encodr.*'] }), {
    code: 'bad_parameters',
    message: /^frozen: "encodr\.\*" fits no parameter of the model; the closest are "encoder\./,
  });
  await t.rejects(inspect({ frozen: '*' }), { code: 'bad_parameters', message: /all 6 parameters/ });
  const groups = [{ parameters: '*.gamma', lr: 1 }];
  await t.rejects(inspect({ optimizer: { kind: 'adamw', lr: 1, groups } }), {
    message: /^optimizer\.groups\.0\.parameters: "\*\.gamma" fits no parameter/,
  });
});

t.test('weights are checked against the model at submit, by their header', async (t) => {
  t.equal((await inspect({}, net.parameters)).rows, 3);
  const other = new Map(net.parameters);
  other.delete('head.bias');
  other.set('fc.bias', tensorOf('float32', [1], [0]));
  await t.rejects(inspect({}, other), {
    family: 'user',
    code: 'bad_weights',
    message: /^weights\.file: it does not fit the model: 1 missing from the file: "head\.bias"/,
  });
});
