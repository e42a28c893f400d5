import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { readModel, readSafetensors } from '../../../graph/index.js';
import type { RunPlan } from '../../../protocol/index.js';
import { repositoryRoot } from '../../root.js';
import { tensors, text } from './datasets.js';
import { pipelined, stagesOf, type Layout } from './pipelines.js';
import { Artifacts, planOf } from './plans.js';
import { trainOnRanks } from './ranks.js';

t.setTimeout(600_000);

const STEPS = 20;
const BATCH = 12;
const MICRO_BATCHES = 4;

const common = { kind: '1f1b', microBatches: MICRO_BATCHES } as const;
const LAYOUTS: Readonly<Record<string, Layout>> = {
  'accumulating on one device': { replicas: [[1]], kind: 'data-parallel', microBatches: MICRO_BATCHES },
  'accumulating on two replicas': { replicas: [[2, 1]], kind: 'data-parallel', microBatches: MICRO_BATCHES },
  '2 stages, 1f1b': { ...common, replicas: [[1], [1]] },
  '4 stages, 1f1b': { ...common, replicas: [[1], [1], [1], [1]] },
  '2 stages x 2 replicas': {
    ...common,
    replicas: [
      [1, 1],
      [1, 1],
    ],
  },
  'uneven replicas': { ...common, replicas: [[2, 1], [1]], shardOptimizer: true },
  'uneven replicas on both sides': {
    ...common,
    replicas: [
      [2, 1],
      [1, 2],
    ],
    shardOptimizer: false,
  },
  '2 stages, gpipe': { ...common, replicas: [[1], [1]], kind: 'gpipe' },
  '2 stages, interleaved': { ...common, replicas: [[1], [1]], kind: 'interleaved', stagesPerRank: 2 },
  '3 stages, zero-bubble': { ...common, replicas: [[1], [1], [1]], kind: 'zero-bubble' },
  '2 stages, recomputing': { ...common, replicas: [[1], [1]], recompute: true },
  '2 stages x 2 replicas, optimizer not sharded': {
    ...common,
    replicas: [
      [1, 1],
      [1, 1],
    ],
    shardOptimizer: false,
  },
};

/** Relative distance of two models' weights, by name. */
function apart(a: ReadonlyMap<string, Float32Array>, b: ReadonlyMap<string, Float32Array>): number {
  let [difference, size] = [0, 0];
  for (const [name, values] of b) {
    const other = a.get(name);
    if (!other) throw new Error(`"${name}" is in no part of the weights`);
    values.forEach((value, i) => {
      difference += (value - other[i]!) ** 2;
      size += value ** 2;
    });
  }
  return Math.sqrt(difference / size);
}

const weightsIn = (parts: readonly Uint8Array[]) =>
  new Map(
    parts.flatMap((part) =>
      [...readSafetensors(part).tensors].map(([name, { data }]) => [name, data as Float32Array] as const),
    ),
  );

const only = process.env['DTRAIN_LAYOUTS'];
t.jobs = 3; // a pipeline of small stages waits more than it computes
for (const name of (process.env['DTRAIN_MODELS'] ?? 'gpt,gpt-tied,resnet').split(',')) {
  const title = `${name}: the loss at every step is that of one device, however the model is laid out`;
  void t.test(title, { buffered: true }, async (t) => {
    const artifacts = new Artifacts();
    t.teardown(() => artifacts.remove());
    const onnx = await readFile(join(repositoryRoot, 'test/fixtures/models', name, 'model.onnx'));
    const images = name === 'resnet';
    // an epoch ends with a short batch
    const data = images ? tensors(artifacts, 65, [3, 16, 16], 10) : text(artifacts, 65);
    const change: Partial<RunPlan> = {
      jobId: `job_${name}`,
      optimizer: images ? { kind: 'sgd', lr: 0.02, momentum: 0.9 } : { kind: 'adamw', lr: 0.003 },
      schedule: { kind: 'cosine', warmupSteps: 3 },
      totalSteps: STEPS,
      stepsPerEpoch: Math.ceil(65 / BATCH),
      clipNorm: 1,
      bucketBytes: 16384,
      data: { train: data, validation: data },
      validateEverySteps: STEPS,
      batchNormalization: images ? 'train' : 'exported',
    };
    const plan = planOf({ sha256: artifacts.add(onnx), file: 'model.onnx' }, data, [BATCH], change);
    const { graph } = readModel(onnx);
    const shapes = { input: images ? [2, 3, 16, 16] : [2, 16] };
    const trained = async (layout: Layout) => {
      const count = layout.replicas.length * (layout.stagesPerRank ?? 1);
      const stages = count === 1 ? [[]] : stagesOf(graph, { loss: plan.loss, shapes }, count);
      const { steps, parts } = await trainOnRanks(pipelined(plan, layout, stages), artifacts.paths);
      return {
        losses: steps.map(({ loss }) => loss),
        validation: steps.at(-1)!.validationLoss!,
        accuracy: steps.at(-1)!.validationAccuracy!,
        weights: weightsIn(parts),
      };
    };
    // BatchNormalization normalizes a micro-batch: one device that accumulates over the same ones is the measure
    const single = await trained({
      replicas: [[1]],
      kind: 'data-parallel',
      microBatches: images ? MICRO_BATCHES : 1,
    });
    t.equal(single.losses.length, STEPS);
    for (const [label, layout] of Object.entries(LAYOUTS)) {
      if (only !== undefined && !label.includes(only)) continue;
      // replicas normalize their own parts of a micro-batch
      if (images && layout.replicas.some((shares) => shares.length > 1)) continue;
      const found = await trained(layout);
      const worst = Math.max(
        ...found.losses.map((loss, i) => Math.abs(loss - single.losses[i]!) / single.losses[i]!),
      );
      t.ok(worst < 1e-4, `${name}, ${label}: losses within ${worst.toExponential(1)} of one device`);
      t.ok(
        Math.abs(found.validation - single.validation) < 1e-4 * single.validation,
        `${name}, ${label}: validation loss ${found.validation}, on one device ${single.validation}`,
      );
      t.ok(Math.abs(found.accuracy - single.accuracy) < 0.02);
      const distance = apart(found.weights, single.weights);
      t.ok(distance < 1e-3, `${name}, ${label}: weights within ${distance.toExponential(1)}`);
    }
  });
}
