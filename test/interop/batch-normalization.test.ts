import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import t, { type Test } from 'tap';
import { exportModel } from '../../coordinator/prepare/export.js';
import { readModel, readSafetensors } from '../../graph/index.js';
import { referenceTo, type RunPlan } from '../../protocol/index.js';
import { createEngine } from '../../worker/engine/index.js';
import { gradcheck, loadCase } from '../../worker/gradcheck/index.js';
import { npy } from '../e2e/digits.js';
import { Artifacts, distance, planOf } from '../integration/worker/plans.js';
import { trainOnRanks } from '../integration/worker/ranks.js';
import { repositoryRoot } from '../root.js';
import { lacks, python, type Flat } from './python.js';

t.setTimeout(240_000);

const skip = lacks('torch');

interface Result {
  readonly input: Flat;
  readonly target: readonly number[];
  readonly losses: readonly number[];
  readonly after: Readonly<Record<string, Flat>>;
  readonly later: Flat;
  readonly output: Flat;
}

const artifacts = new Artifacts();
t.teardown(() => artifacts.remove());

function pytorch(folder: string, opset: number, form: 'training' | 'inference'): Result {
  const script = join(repositoryRoot, 'test/interop/batch-normalization.py');
  const { status, stderr } = spawnSync(python, [script, folder, String(opset), form], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`PyTorch failed: ${stderr}`);
  return JSON.parse(readFileSync(join(folder, 'result.json'), 'utf8')) as Result;
}

/** Trains a model file as PyTorch did; the losses, the weights and where they lie. */
async function train(folder: string, model: Uint8Array, result: Result, change: Partial<RunPlan>) {
  const file = (bytes: Buffer) => referenceTo(artifacts.add(bytes));
  const { shape, data } = result.input;
  const rows = {
    format: 'npy' as const,
    features: file(npy('<f4', shape, Float32Array.from(data))),
    target: file(npy('<i8', [shape[0]!], BigInt64Array.from(result.target, BigInt))),
  };
  const reference = { sha256: artifacts.add(model), file: 'model.onnx' };
  const steps = {
    totalSteps: 5,
    stepsPerEpoch: 1,
    optimizer: { kind: 'sgd', lr: 0.1, momentum: 0.9 },
  } as const;
  const plan = planOf(reference, rows, [shape[0]!], { ...steps, ...change });
  const trained = await trainOnRanks(plan, artifacts.paths);
  const weights = join(folder, 'weights.safetensors');
  writeFileSync(weights, trained.weights);
  return {
    losses: trained.steps.map(({ loss }) => loss),
    weights,
    tensors: readSafetensors(trained.weights).tensors,
  };
}

async function predict(model: string, { shape, data }: Flat): Promise<Float32Array> {
  const session = await InferenceSession.create(model);
  const results = await session.run({ input: new OrtTensor('float32', Float32Array.from(data), [...shape]) });
  return results['output']!.data as Float32Array;
}

async function agrees(t: Test, opset: number, form: 'training' | 'inference'): Promise<void> {
  const folder = t.testdir();
  const result = pytorch(folder, opset, form);
  const model = join(folder, 'model.onnx');
  const mode = form === 'training' ? 'exported' : 'train';
  const trained = await train(folder, readFileSync(model), result, { batchNormalization: mode });
  t.ok(distance(trained.losses, result.losses) < 1e-5, `losses: ${distance(trained.losses, result.losses)}`);
  t.same(
    [...trained.tensors.keys()].sort(),
    Object.keys(result.after).sort(),
    'the weights are the state dict',
  );
  for (const [name, { shape, data }] of Object.entries(result.after)) {
    const ours = trained.tensors.get(name)!;
    t.same(ours.shape, shape);
    const apart = distance(ours.data as Float32Array, data);
    t.ok(apart < 1e-5, `${name}: ${apart}`);
  }

  const to = join(folder, 'trained.onnx');
  await exportModel({ model, weights: trained.weights, to });
  const apart = distance(await predict(to, result.later), result.output.data);
  t.ok(apart < 1e-5, `the exported model predicts what PyTorch's does in evaluation: ${apart}`);
  const exported = readModel(readFileSync(to)).graph;
  const normalizations = exported.nodes.filter(({ operator }) => operator === 'BatchNormalization');
  t.equal(normalizations.length, 4);
  for (const { outputs, attributes } of normalizations) {
    t.equal(outputs.length, 1);
    t.notOk(attributes['training_mode']);
  }
}

for (const opset of [9, 13, 14, 17]) {
  t.test(`opset ${opset}: parameters, running statistics and predictions are PyTorch's`, { skip }, (t) =>
    agrees(t, opset, 'training'),
  );
}

t.test('a model exported in evaluation mode trains where the job asks for it', { skip }, (t) =>
  agrees(t, 15, 'inference'),
);

t.test('gradcheck compares running statistics where a case has them', { skip }, async (t) => {
  const folder = t.testdir();
  pytorch(folder, 17, 'training');
  const found = await loadCase(folder);
  t.equal(found.statistics.length, 6);
  const engine = await createEngine('onnxruntime', { threads: 1 });
  t.match(await gradcheck(found, engine, 1e-4), { pass: true });
  const tensors = new Map(found.tensors);
  const { dtype, shape } = tensors.get('after.bn2.running_var')!;
  tensors.set('after.bn2.running_var', { dtype, shape, data: new Float32Array(5) });
  t.match(await gradcheck({ ...found, tensors }, engine, 1e-3), {
    pass: false,
    worstGradient: { error: Number },
  });
});

t.test('a trained model is submitted again, and goes on', { skip }, async (t) => {
  const folder = t.testdir();
  const result = pytorch(folder, 17, 'training');
  const first = join(folder, 'model.onnx');
  const sgd = { optimizer: { kind: 'sgd', lr: 0.1 } } as const; // without momentum nothing is lost in between
  const whole = await train(folder, readFileSync(first), result, { ...sgd, totalSteps: 6 });
  const half = await train(folder, readFileSync(first), result, { ...sgd, totalSteps: 3 });
  const second = join(folder, 'half.onnx');
  await exportModel({ model: first, weights: half.weights, to: second });
  const change = { ...sgd, totalSteps: 3, batchNormalization: 'train' } as const;
  const resumed = await train(folder, readFileSync(second), result, change);
  t.same([...resumed.tensors.keys()].sort(), [...whole.tensors.keys()].sort());
  for (const [name, { data }] of whole.tensors) {
    const apart = distance(resumed.tensors.get(name)!.data as Float32Array, data as Float32Array);
    t.ok(apart < 1e-5, `${name}: ${apart}`);
  }
  const third = join(folder, 'whole.onnx');
  await exportModel({ model: second, weights: resumed.weights, to: third });
  t.ok((await predict(third, result.later)).every(Number.isFinite));

  const frozen = await train(folder, readFileSync(second), result, {
    ...change,
    batchNormalization: 'exported',
  });
  for (const name of ['bn1.running_mean', 'bn2.running_var'])
    t.same(
      frozen.tensors.get(name),
      half.tensors.get(name),
      'left alone, the inference form keeps what it has',
    );
});
