import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Random, keyOf, sha256 } from '../../../base/index.js';
import type { DatasetSpec } from '../../../data/index.js';
import { readSafetensors } from '../../../graph/index.js';
import { referenceTo, type RunPlan } from '../../../protocol/index.js';
import { repositoryRoot } from '../../root.js';
import { withRanks } from './ranks.js';

t.setTimeout(180_000);

const STEPS = 20;
const SHARINGS: readonly (readonly number[])[] = [[8], [4, 4], [3, 3, 2], [6, 2]];

/** Files written for a test, by content hash. */
class Artifacts {
  readonly paths = new Map<string, string>();
  constructor(private readonly folder: string) {}

  async add(bytes: Uint8Array): Promise<string> {
    const hash = sha256(bytes);
    const path = join(this.folder, hash);
    await writeFile(path, bytes);
    this.paths.set(hash, path);
    return hash;
  }
}

/** Random 28x28 images of ten classes in IDX form; 77 of them, so that an epoch ends with a short batch of 5. */
async function images(artifacts: Artifacts): Promise<DatasetSpec> {
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
    features: referenceTo(await artifacts.add(Buffer.concat([header(0x803, [count, 28, 28]), pixels]))),
    labels: referenceTo(await artifacts.add(Buffer.concat([header(0x801, [count]), labels]))),
    normalize: { mean: 0.5, std: 0.3 },
  };
}

/** Random text over 65 characters: as many as the gpt case has tokens. */
async function text(artifacts: Artifacts): Promise<DatasetSpec> {
  const random = new Random(keyOf('text'));
  const letters = Array.from({ length: 65 }, (_, i) => String.fromCharCode(48 + i));
  const body = [...letters, ...Array.from({ length: 1300 }, () => letters[random.below(65)]!)].join('');
  return {
    format: 'text',
    path: referenceTo(await artifacts.add(Buffer.from(body))),
    tokens: 'char',
    context: 16,
  };
}

t.test('the loss at every step is that of one device, however the batch is shared', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'dtrain-test-'));
  t.teardown(() => rm(folder, { recursive: true, force: true }));
  const artifacts = new Artifacts(folder);
  const cases = [
    {
      name: 'mlp',
      data: await images(artifacts),
      optimizer: { kind: 'sgd' as const, lr: 0.05, momentum: 0.9 },
    },
    {
      name: 'lenet',
      data: await images(artifacts),
      optimizer: { kind: 'sgd' as const, lr: 0.05, momentum: 0.9, nesterov: true },
    },
    { name: 'gpt', data: await text(artifacts), optimizer: { kind: 'adamw' as const, lr: 0.003 } },
  ];
  for (const { name, data, optimizer } of cases) {
    const model = await artifacts.add(
      await readFile(join(repositoryRoot, 'test/fixtures/models', name, 'model.onnx')),
    );
    let single: readonly number[] = [];
    let weights: Float64Array | undefined;
    for (const shares of SHARINGS) {
      const plan: RunPlan = {
        jobId: `job_${name}`,
        name,
        epoch: 1,
        model: { sha256: model, file: 'model.onnx' },
        data: { train: data, validation: null },
        loss: 'cross_entropy',
        optimizer,
        schedule: { kind: 'cosine', warmupSteps: 3 },
        batch: 8,
        totalSteps: STEPS,
        stepsPerEpoch: 10,
        seed: 5,
        clipNorm: 1,
        wire: 'float32',
        bucketBytes: 16384,
        logEverySteps: 1,
        validateEverySteps: 0,
        checkpointEverySteps: 0,
        collectiveDeadlineSeconds: 20,
        ranks: shares.map((share, rank) => ({
          device: `d${rank}`,
          host: 'test',
          share,
          budgetBytes: 1e9,
          accountedBytes: 1e9,
        })),
      };
      await withRanks(plan, artifacts.paths, async ({ steps, weightsPath }) => {
        const losses = steps.map((step) => step.loss);
        const trained = flat(readSafetensors(await readFile(weightsPath)).tensors);
        if (shares.length === 1) {
          single = losses;
          weights = trained;
          t.equal(losses.length, STEPS);
          t.ok(losses.every(Number.isFinite), `${name}: finite losses`);
          return;
        }
        const worst = Math.max(...losses.map((loss, i) => Math.abs(loss - single[i]!) / single[i]!));
        t.ok(
          worst < 1e-4,
          `${name} on shares ${shares.join(':')}: losses within ${worst.toExponential(1)} of one device`,
        );
        const apart = distance(trained, weights!);
        t.ok(apart < 1e-4, `${name} on shares ${shares.join(':')}: weights within ${apart.toExponential(1)}`);
      });
    }
  }
});

function flat(
  tensors: ReadonlyMap<string, { readonly data: ArrayLike<number> | BigInt64Array | BigUint64Array }>,
): Float64Array {
  return Float64Array.from(
    [...tensors.values()].flatMap(({ data }) => Array.from(data as ArrayLike<number>)),
  );
}

function distance(a: Float64Array, b: Float64Array): number {
  let difference = 0;
  let norm = 0;
  a.forEach((value, i) => {
    difference += (value - b[i]!) ** 2;
    norm += b[i]! ** 2;
  });
  return Math.sqrt(difference / norm);
}
