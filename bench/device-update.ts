/**
 * What it brings to run the optimizer on a device that keeps values: the same training with the update on the host and on the
 * device, alternating, on a compute thread of this process. AdamW, one rank, batch 8.
 *
 * usage: node dist/bench/device-update.js [--device webgpu:0] [--model gpt|mlp] [--width 16] [--steps 8] [--rounds 3]
 *   `mlp` is made here, of three layers of `width` features; `gpt` is the test's. On SwiftShader:
 *   VK_ICD_FILENAMES=/usr/lib/chromium/vk_swiftshader_icd.json
 */
import { rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { median } from '../base/index.js';
import { linear, model, relu, sequential, tensor } from '../graph/nn/index.js';
import { encodeRunPlan, type RunPlan } from '../protocol/index.js';
import { text } from '../test/integration/worker/datasets.js';
import { Artifacts, planOf } from '../test/integration/worker/plans.js';
import { repositoryRoot } from '../test/root.js';
import { parseDeviceSpec, resolveDevices } from '../worker/index.js';
import { ComputeThread } from '../worker/engine/index.js';
import { RankRun } from '../worker/run/index.js';

const { values: options } = parseArgs({
  options: {
    device: { type: 'string', default: 'webgpu:0' },
    model: { type: 'string', default: 'mlp' },
    width: { type: 'string', default: '256' },
    steps: { type: 'string', default: '8' },
    rounds: { type: 'string', default: '3' },
  },
});
const BATCH = 8;
const FEATURES = 6;
const CLASSES = 4;
const steps = Number(options.steps);
const [device] = resolveDevices('bench', [parseDeviceSpec('cpu,threads=1,memory=2GiB')], {
  cores: 1,
  memoryBytes: 0,
});

async function planFor(artifacts: Artifacts): Promise<RunPlan> {
  const change: Partial<RunPlan> = {
    optimizer: { kind: 'adamw', lr: 0.003 },
    totalSteps: steps,
    stepsPerEpoch: steps,
    clipNorm: 1,
    bucketBytes: 16 * 2 ** 20,
  };
  if (options.model === 'gpt') {
    const onnx = await readFile(join(repositoryRoot, 'test/fixtures/models/gpt/model.onnx'));
    const data = text(artifacts, 64);
    return planOf({ sha256: artifacts.add(onnx), file: 'model.onnx' }, data, [BATCH], change);
  }
  const width = Number(options.width);
  const layers = sequential(linear(width), relu(), linear(width), relu(), linear(CLASSES));
  const { graph } = model({ input: tensor(FEATURES), layers, seed: 3 });
  return planOf(artifacts.model(graph), artifacts.table(64, FEATURES, CLASSES), [BATCH], change);
}

/** Trains; the median step without the first ones, and the last step's loss. */
async function train(
  thread: ComputeThread,
  plan: RunPlan,
  paths: ReadonlyMap<string, string>,
  scratch: string,
): Promise<{ readonly milliseconds: number; readonly loss: number }> {
  const at: number[] = [];
  let loss = NaN;
  const run: RankRun = new RankRun(
    { jobId: plan.jobId, epoch: plan.epoch, rank: 0 },
    {
      device: device!,
      thread,
      listenHost: '127.0.0.1',
      scratch,
      fetch: (sha256) => Promise.resolve(paths.get(sha256)!),
      report: (message) => {
        if (message.kind === 'ready') run.connect([message.endpoint]);
        if (message.kind !== 'step') return;
        at.push(performance.now());
        ({ loss } = message.numbers);
      },
      beat: () => undefined,
    },
  );
  try {
    await run.train(encodeRunPlan(plan));
  } finally {
    await run.leave();
  }
  const each = at.slice(1).map((time, i) => time - at[i]!);
  return { milliseconds: median(each.slice(1)), loss };
}

const artifacts = new Artifacts();
const thread = await ComputeThread.start({ engine: 'onnxruntime', device: options.device, threads: 1 });
try {
  console.log(`${thread.device}: ${options.model}, batch ${BATCH}, AdamW, median milliseconds a step`);
  const plan = await planFor(artifacts);
  const times = { host: [] as number[], device: [] as number[] };
  for (let round = 0; round < Number(options.rounds); round++) {
    for (const place of ['host', 'device'] as const) {
      const ranks = plan.ranks.map((rank) => ({ ...rank, updateOnDevice: place === 'device' }));
      const measured = await train(thread, { ...plan, ranks }, artifacts.paths, artifacts.folder);
      times[place].push(measured.milliseconds);
      console.log(
        `  round ${round + 1}, update on the ${place}: ${measured.milliseconds.toFixed(1)} ms, loss ${measured.loss.toFixed(6)}`,
      );
    }
  }
  const [host, own] = [median(times.host), median(times.device)];
  console.log(
    `host ${host.toFixed(1)} ms, device ${own.toFixed(1)} ms: ${(host / own).toFixed(2)} times as fast`,
  );
} finally {
  await thread.close();
  rmSync(artifacts.folder, { recursive: true, force: true });
}
