import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { Random, keyOf } from '../../../base/index.js';
import type { DatasetSpec } from '../../../data/index.js';
import { referenceTo } from '../../../protocol/index.js';
import { repositoryRoot } from '../../root.js';
import { Artifacts, distance, numbersIn, planOf } from './plans.js';
import { trainOnRanks } from './ranks.js';

t.setTimeout(180_000);

const STEPS = 20;
const SHARINGS: readonly (readonly number[])[] = [[8], [4, 4], [3, 3, 2], [6, 2]];

/** Random 28x28 images of ten classes in IDX form; 77 of them, so that an epoch ends with a short batch of 5. */
function images(artifacts: Artifacts): DatasetSpec {
  const random = new Random(keyOf('images'));
  const count = 77;
  const header = (magic: number, dims: readonly number[]) => {
    const bytes = Buffer.alloc(4 + 4 * dims.length);
    [magic, ...dims].forEach((value, i) => bytes.writeUInt32BE(value, 4 * i));
    return bytes;
  };
  const pixels = Buffer.from(Uint8Array.from({ length: count * 784 }, () => random.below(256)));
  const labels = Buffer.from(Uint8Array.from({ length: count }, () => random.below(10)));
  return {
    format: 'idx',
    features: referenceTo(artifacts.add(Buffer.concat([header(0x803, [count, 28, 28]), pixels]))),
    labels: referenceTo(artifacts.add(Buffer.concat([header(0x801, [count]), labels]))),
    normalize: { mean: 0.5, std: 0.3 },
  };
}

/** Random text over 65 characters: as many as the gpt case has tokens. */
function text(artifacts: Artifacts): DatasetSpec {
  const random = new Random(keyOf('text'));
  const letters = Array.from({ length: 65 }, (_, i) => String.fromCharCode(48 + i));
  const body = [...letters, ...Array.from({ length: 1300 }, () => letters[random.below(65)]!)].join('');
  return {
    format: 'text',
    path: referenceTo(artifacts.add(Buffer.from(body))),
    tokens: 'char',
    context: 16,
  };
}

t.test('the loss at every step is that of one device, however the batch is shared', async (t) => {
  const artifacts = new Artifacts();
  t.teardown(() => artifacts.remove());
  const cases = [
    {
      name: 'mlp',
      data: images(artifacts),
      optimizer: { kind: 'sgd' as const, lr: 0.05, momentum: 0.9 },
    },
    {
      name: 'lenet',
      data: images(artifacts),
      optimizer: { kind: 'sgd' as const, lr: 0.05, momentum: 0.9, nesterov: true },
    },
    { name: 'gpt', data: text(artifacts), optimizer: { kind: 'adamw' as const, lr: 0.003 } },
  ];
  for (const { name, data, optimizer } of cases) {
    const onnx = await readFile(join(repositoryRoot, 'test/fixtures/models', name, 'model.onnx'));
    const model = { sha256: artifacts.add(onnx), file: 'model.onnx' };
    let single: readonly number[] = [];
    let weights: Float32Array = new Float32Array();
    for (const shares of SHARINGS) {
      const plan = planOf(model, data, shares, {
        jobId: `job_${name}`,
        optimizer,
        schedule: { kind: 'cosine', warmupSteps: 3 },
        totalSteps: STEPS,
        clipNorm: 1,
        bucketBytes: 16384,
      });
      const result = await trainOnRanks(plan, artifacts.paths);
      const losses = result.steps.map((step) => step.loss);
      const trained = numbersIn(result.weights);
      if (shares.length === 1) {
        single = losses;
        weights = trained;
        t.equal(losses.length, STEPS);
        t.ok(losses.every(Number.isFinite), `${name}: finite losses`);
        continue;
      }
      const worst = Math.max(...losses.map((loss, i) => Math.abs(loss - single[i]!) / single[i]!));
      t.ok(
        worst < 1e-4,
        `${name} on shares ${shares.join(':')}: losses within ${worst.toExponential(1)} of one device`,
      );
      const apart = distance(trained, weights);
      t.ok(apart < 1e-4, `${name} on shares ${shares.join(':')}: weights within ${apart.toExponential(1)}`);
    }
  }
});
