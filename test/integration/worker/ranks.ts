import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeRunPlan, type RunPlan } from '../../../protocol/index.js';
import { resolveDevices, parseDeviceSpec } from '../../../worker/index.js';
import { ComputeThread } from '../../../worker/engine/index.js';
import type { RankMessage, StepNumbers } from '../../../worker/messages.js';
import { RankRun, type RankHost } from '../../../worker/run/index.js';

export interface RanksResult {
  /** What rank 0 reported, step by step. */
  readonly steps: readonly StepNumbers[];
  /** Rank 0's weights, a safetensors file inside `folder`. */
  readonly weightsPath: string;
  readonly folder: string;
}

/**
 * Trains a plan on as many ranks as it has, in this process: real compute threads, real ZeroMQ, no daemon and no
 * coordinator. The caller removes `folder`.
 * @param paths artifacts by hash
 */
export async function trainOnRanks(plan: RunPlan, paths: ReadonlyMap<string, string>): Promise<RanksResult> {
  const folder = await mkdtemp(join(tmpdir(), 'dtrain-test-'));
  const endpoints: string[] = [];
  const steps: StepNumbers[] = [];
  const runs: RankRun[] = [];
  const report = (message: RankMessage) => {
    if (message.kind === 'step') steps.push(message.numbers);
    if (message.kind !== 'ready') return;
    endpoints[message.run.rank] = message.endpoint;
    if (Object.keys(endpoints).length === plan.ranks.length) for (const run of runs) run.connect(endpoints);
  };
  const [device] = resolveDevices('test', [parseDeviceSpec('cpu,threads=1,memory=2GiB')], {
    cores: 1,
    memoryBytes: 0,
  });
  const results = await Promise.all(
    plan.ranks.map(async (_, rank) => {
      const thread = await ComputeThread.start({ engine: 'onnxruntime', threads: 1 });
      const host: RankHost = {
        device: device!,
        thread,
        listenHost: '127.0.0.1',
        scratch: folder,
        fetch: (sha256) => Promise.resolve(paths.get(sha256)!),
        report,
        beat: () => undefined,
      };
      const run = new RankRun({ jobId: plan.jobId, epoch: plan.epoch, rank }, host);
      runs[rank] = run;
      try {
        return await run.train(encodeRunPlan(plan));
      } finally {
        await run.leave();
        await thread.close();
      }
    }),
  );
  return { steps, weightsPath: results[0]!.weightsPath!, folder };
}

export async function withRanks<T>(
  plan: RunPlan,
  paths: ReadonlyMap<string, string>,
  use: (result: RanksResult) => T | Promise<T>,
): Promise<T> {
  const result = await trainOnRanks(plan, paths);
  try {
    return await use(result);
  } finally {
    await rm(result.folder, { recursive: true, force: true });
  }
}
