import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { readSafetensors } from '../../graph/index.js';
import { referenceTo, weightsRules, type RunPlan } from '../../protocol/index.js';
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
}

function pytorch(verb: 'train' | 'evaluate', folder: string): string {
  const script = join(repositoryRoot, 'test/interop/fine-tuning.py');
  const { status, stdout, stderr } = spawnSync(python, [script, verb, folder], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`PyTorch failed: ${stderr}`);
  return stdout;
}

t.test('pretrained weights, frozen layers and parameter groups: PyTorch and back', { skip }, async (t) => {
  const folder = t.testdir();
  const artifacts = new Artifacts();
  t.teardown(() => artifacts.remove());
  pytorch('train', folder);
  const { input, target, losses, after } = JSON.parse(
    readFileSync(join(folder, 'result.json'), 'utf8'),
  ) as Result;
  const file = (bytes: Uint8Array) => referenceTo(artifacts.add(bytes));
  const rows = {
    format: 'npy' as const,
    features: file(npy('<f4', input.shape, Float32Array.from(input.data))),
    target: file(npy('<i8', [target.length], BigInt64Array.from(target, BigInt))),
  };
  const change: Partial<RunPlan> = {
    data: { train: rows, validation: rows },
    weights: weightsRules({
      file: file(readFileSync(join(folder, 'pretrained.safetensors'))),
      rename: { 'model.': '' },
    }),
    frozen: ['encoder.0.*'],
    optimizer: {
      kind: 'adamw',
      lr: 0.01,
      weightDecay: 0.1,
      groups: [
        { parameters: '*.bias', weightDecay: 0 },
        { parameters: 'head.*', lr: 0.03, weightDecay: 0.2 },
      ],
    },
    clipNorm: 0.5,
    totalSteps: 5,
    stepsPerEpoch: 1,
    validateEverySteps: 5,
    bucketBytes: 256,
  };
  const model = { sha256: artifacts.add(readFileSync(join(folder, 'model.onnx'))), file: 'model.onnx' };
  const { steps, weights } = await trainOnRanks(planOf(model, rows, [20], change), artifacts.paths);

  const apart = distance(
    steps.map(({ loss }) => loss),
    losses,
  );
  t.ok(apart < 1e-5, `losses: ${apart}`);
  const { tensors } = readSafetensors(weights);
  t.same([...tensors.keys()].sort(), Object.keys(after).sort(), 'the weights are the state dict');
  for (const [name, { shape, data }] of Object.entries(after)) {
    const ours = tensors.get(name)!;
    t.same(ours.shape, shape);
    const error = distance(ours.data as Float32Array, data);
    t.ok(error < 1e-5, `${name}: ${error}`);
    if (name.startsWith('encoder.0.')) t.equal(error, 0, `${name} is frozen`);
  }

  writeFileSync(join(folder, 'weights.safetensors'), weights);
  const theirs = Number(pytorch('evaluate', folder));
  const evaluated = steps.at(-1)!.validationLoss!;
  t.ok(Math.abs(theirs - evaluated) < 1e-5 * evaluated, `PyTorch evaluates ${theirs}, dtrain ${evaluated}`);
});
