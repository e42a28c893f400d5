import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { readModel } from '../../../graph/index.js';
import type { RunPlan } from '../../../protocol/index.js';
import { repositoryRoot } from '../../root.js';
import { text } from './datasets.js';
import { pipelined, stagesOf, type Layout } from './pipelines.js';
import { Artifacts, planOf } from './plans.js';
import { trainOnRanks, type RankHooks } from './ranks.js';

t.setTimeout(300_000);

const STEPS = 8;
const BATCH = 12;
const ONNXRUNTIME = { engine: 'onnxruntime', device: 'cpu' } as const;
const WASM = { engine: 'gpujs', device: 'wasm:0' } as const;
const JAVASCRIPT = { engine: 'gpujs', device: 'cpu' } as const;

const LAYOUTS: Readonly<
  Record<string, { layout: Layout; engines: readonly ReturnType<NonNullable<RankHooks['engine']>>[] }>
> = {
  'a stage on onnxruntime, a stage on WebAssembly': {
    layout: { replicas: [[1], [1]], kind: '1f1b', microBatches: 4 },
    engines: [ONNXRUNTIME, WASM],
  },
  'the other way round': {
    layout: { replicas: [[1], [1]], kind: '1f1b', microBatches: 4 },
    engines: [WASM, ONNXRUNTIME],
  },
  'replicas on onnxruntime, WebAssembly and plain JavaScript': {
    layout: { replicas: [[3, 2, 1]], kind: 'data-parallel', microBatches: 1 },
    engines: [ONNXRUNTIME, WASM, JAVASCRIPT],
  },
};

t.test('one job on several engines trains like one device', async (t) => {
  const artifacts = new Artifacts();
  t.teardown(() => artifacts.remove());
  const onnx = await readFile(join(repositoryRoot, 'test/fixtures/models/gpt/model.onnx'));
  const data = text(artifacts, 65);
  const change: Partial<RunPlan> = {
    jobId: 'job_mixed',
    optimizer: { kind: 'adamw', lr: 0.003 },
    schedule: { kind: 'cosine', warmupSteps: 3 },
    totalSteps: STEPS,
    stepsPerEpoch: Math.ceil(65 / BATCH),
    clipNorm: 1,
    bucketBytes: 16384,
  };
  const plan = planOf({ sha256: artifacts.add(onnx), file: 'model.onnx' }, data, [BATCH], change);
  const { graph } = readModel(onnx);
  const lossesOf = async (
    layout: Layout,
    engine: NonNullable<RankHooks['engine']>,
  ): Promise<readonly number[]> => {
    const count = layout.replicas.length;
    const stages =
      count === 1 ? [[]] : stagesOf(graph, { loss: plan.loss, shapes: { input: [2, 16] } }, count);
    const { steps } = await trainOnRanks(pipelined(plan, layout, stages), artifacts.paths, { engine });
    return steps.map(({ loss }) => loss);
  };
  const single = await lossesOf(
    { replicas: [[1]], kind: 'data-parallel', microBatches: 1 },
    () => ONNXRUNTIME,
  );
  t.equal(single.length, STEPS);
  for (const [what, { layout, engines }] of Object.entries(LAYOUTS)) {
    const losses = await lossesOf(layout, (rank) => engines[rank]!);
    const worst = Math.max(...losses.map((loss, i) => Math.abs(loss - single[i]!) / single[i]!));
    t.ok(losses.length === STEPS && worst < 1e-3, `${what}: losses within ${worst.toExponential(1)}`);
  }
});
