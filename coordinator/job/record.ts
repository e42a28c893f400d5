import type { JobRecord } from '../../protocol/index.js';
import { performanceOf, ranksOf } from './performance.js';
import { isOver, runOf, type TrainingJob } from './state.js';

/** A job as REST and `--json` show it. Pure. */
export function recordOf(job: TrainingJob): JobRecord {
  const run = runOf(job);
  const { totalSteps } = job.totals;
  const progress = run?.progress;
  const rate = progress?.samplesPerSecond ?? null;
  const left =
    job.state === 'running' && rate && progress
      ? ((totalSteps - progress.step) * job.job.batch) / rate
      : null;
  return {
    id: job.id,
    name: job.job.name,
    state: job.state,
    step: progress?.step ?? 0,
    totalSteps,
    loss: progress?.loss ?? null,
    validationLoss: progress?.validationLoss ?? null,
    validationAccuracy: progress?.validationAccuracy ?? null,
    samplesPerSecond: rate,
    etaSeconds: job.state === 'succeeded' ? 0 : left,
    devices: run ? ranksOf(run.plan).map(({ replica }) => replica.device) : [],
    explanation: run ? [...run.plan.explanation] : [],
    replanned: replannedOf(job),
    performance: run ? performanceOf(run.plan, job.state === 'succeeded' ? job.measured : []) : null,
    output: job.output,
    createdAt: isoTime(job.createdAt),
    startedAt: typeof run?.startedAt === 'number' ? isoTime(run.startedAt) : null,
    endedAt: isOver(job) ? isoTime(job.endedAt) : null,
    error: job.state === 'failed' ? job.error : null,
  };
}

function replannedOf({ replanned }: TrainingJob): Exclude<JobRecord['replanned'], undefined> {
  if (!replanned) return null;
  const { at, device, budgetBytes, measuredBytes, predictedBytes, message } = replanned;
  return { at: isoTime(at), device, budgetBytes, measuredBytes, predictedBytes, message };
}

function isoTime(epochMs: number): string {
  return new Date(epochMs).toISOString();
}
