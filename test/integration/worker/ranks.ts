import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeRunPlan, type RunPlan } from '../../../protocol/index.js';
import { resolveDevices, parseDeviceSpec } from '../../../worker/index.js';
import type { ComputeThread, ThreadOptions } from '../../../worker/engine/index.js';
import { keepThread, threadFor } from './threads.js';
import type { Phase, RankMessage, StepNumbers } from '../../../worker/messages.js';
import { RankRun, type RankHost, type RankResult } from '../../../worker/run/index.js';

const [device] = resolveDevices('test', [parseDeviceSpec('cpu,threads=1,memory=2GiB')], {
  cores: 1,
  memoryBytes: 0,
});

/** What a test may take the place of, in the process that a rank believes to run in. */
export interface RankHooks {
  /** Called when a rank enters a phase; `run` may be stopped there. */
  phase?(rank: number, phase: Phase, run: RankRun): void;
  /** Instead of finding the artifact at once. */
  fetch?(rank: number, sha256: string): Promise<string>;
  /** Each message of a rank; `threads` are those of all ranks. */
  report?(rank: number, message: RankMessage, run: RankRun, threads: readonly ComputeThread[]): void;
  /** What a rank computes with; default: onnxruntime on the CPU. */
  engine?(rank: number): Pick<ThreadOptions, 'engine' | 'device'>;
  /** A thread of the test's own to compute with, in place of `engine`; the test closes it. */
  thread?(rank: number): Promise<ComputeThread>;
  /** Whether ranks are told of each other when all are ready. Default true. */
  readonly connect?: boolean;
}

export interface RanksOutcome {
  /** What each rank came to. */
  readonly ranks: readonly PromiseSettledResult<RankResult>[];
  readonly messages: readonly RankMessage[];
  readonly folder: string;
}

/**
 * Runs a plan on as many ranks as it has, in this process: real compute threads, real ZeroMQ, no daemon and no
 * coordinator. The caller removes `folder`.
 * @param paths artifacts by hash
 */
export async function runRanks(
  plan: RunPlan,
  paths: ReadonlyMap<string, string>,
  hooks: RankHooks = {},
): Promise<RanksOutcome> {
  const folder = await mkdtemp(join(tmpdir(), 'dtrain-test-'));
  const endpoints: string[] = [];
  const messages: RankMessage[] = [];
  const runs: RankRun[] = [];
  const threads: ComputeThread[] = [];
  const hear = (rank: number, message: RankMessage) => {
    messages.push(message);
    hooks.report?.(rank, message, runs[rank]!, threads);
    if (message.kind !== 'ready') return;
    endpoints[rank] = message.endpoint;
    const all = Object.keys(endpoints).length === plan.ranks.length;
    if (all && hooks.connect !== false) for (const run of runs) run.connect(endpoints);
  };
  const ranks = await Promise.allSettled(
    plan.ranks.map(async (_, rank) => {
      const options = { ...(hooks.engine?.(rank) ?? { engine: 'onnxruntime' as const }), threads: 1 };
      const thread = await (hooks.thread?.(rank) ?? threadFor(options));
      threads[rank] = thread;
      let phase: Phase | undefined;
      const host: RankHost = {
        device: device!,
        thread,
        listenHost: '127.0.0.1',
        scratch: folder,
        fetch: (sha256) => hooks.fetch?.(rank, sha256) ?? Promise.resolve(paths.get(sha256)!),
        report: (message) => hear(rank, message),
        beat: () => {
          const run = runs[rank]!;
          if (run.phase === phase) return;
          phase = run.phase;
          hooks.phase?.(rank, phase, run);
        },
      };
      const run = new RankRun({ jobId: plan.jobId, epoch: plan.epoch, rank }, host);
      runs[rank] = run;
      try {
        hooks.phase?.(rank, 'fetching', run);
        return await run.train(encodeRunPlan(plan));
      } finally {
        await run.leave();
        if (!hooks.thread) keepThread(options, thread);
      }
    }),
  );
  return { ranks, messages, folder };
}

export interface RanksResult {
  /** What rank 0 reported, step by step. */
  readonly steps: readonly StepNumbers[];
  /** Rank 0's weights: a safetensors file. */
  readonly weights: Uint8Array;
  /** Of every rank that reports weights: safetensors files. */
  readonly parts: readonly Uint8Array[];
  readonly messages: readonly RankMessage[];
}

/** Trains a plan to its end. @throws the first rank's failure, if one failed */
export async function trainOnRanks(
  plan: RunPlan,
  artifacts: ReadonlyMap<string, string>,
  hooks?: RankHooks,
): Promise<RanksResult> {
  const { ranks, messages, folder } = await runRanks(plan, artifacts, hooks);
  try {
    const results = ranks.map((rank) => {
      if (rank.status === 'rejected') throw rank.reason as Error;
      return rank.value;
    });
    const steps = messages.flatMap((message) => (message.kind === 'step' ? [message.numbers] : []));
    const paths = results.flatMap(({ weightsPath }) => weightsPath ?? []);
    const parts = await Promise.all(paths.map((path) => readFile(path)));
    return { steps, weights: parts[0]!, parts, messages };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
