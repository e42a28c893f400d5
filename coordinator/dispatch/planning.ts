import { artifactOf, patternsIn, weightsRules, type JobSpec, type RunPlan } from '../../protocol/index.js';
import {
  DEFAULT_BUCKET_BYTES,
  DEFAULT_LINK,
  planDataParallel,
  type Device,
  type Plan,
} from '../../scheduler/index.js';
import { UnsupportedJobError } from '../errors.js';
import type { JobTotals, ModelFacts, TrainingJob } from '../job/index.js';

/** A collective may wait for the slowest rank's step; a fault is found by its lease long before. */
const COLLECTIVE_DEADLINE_SECONDS = 30;
const COLLECTIVE_DEADLINE_STEPS = 20;

/**
 * Shares the job among devices. Pure.
 * @throws BatchTooSmallError, BudgetTooSmallError, PlacementError, UnsupportedJobError
 */
export function planJob(job: JobSpec, model: ModelFacts, devices: readonly Device[]): Plan {
  const { parallelism = 'auto' } = job;
  const asked = parallelism === 'auto' ? {} : parallelism;
  refusePipeline(job);
  return planDataParallel({
    profile: model.profile,
    nodes: model.nodes,
    parameters: model.parameters,
    batch: job.batch,
    devices,
    link: DEFAULT_LINK,
    ...(asked.data === undefined ? {} : { replicas: asked.data }),
    ...(asked.shares === undefined ? {} : { shares: asked.shares }),
  });
}

/** @throws UnsupportedJobError */
export function refusePipeline({ parallelism = 'auto' }: JobSpec): void {
  if (parallelism === 'auto') return;
  for (const field of ['pipeline', 'microBatches'] as const) {
    const found = parallelism[field] ?? 1;
    if (found > 1) {
      throw new UnsupportedJobError(
        `parallelism.${field}`,
        `parallelism.${field}: ${found} is not there yet; leave it out, or write 1: devices then share each batch`,
      );
    }
  }
}

/** How long the job is. @throws UnsupportedJobError when both `epochs` and `steps` are given */
export function totalsOf(job: JobSpec, rows: number): JobTotals {
  if (job.epochs !== undefined && job.steps !== undefined) {
    throw new UnsupportedJobError(
      'steps',
      `epochs: ${job.epochs} and steps: ${job.steps} are both given; keep the one that you mean`,
    );
  }
  const stepsPerEpoch = Math.ceil(rows / job.batch);
  return { rows, stepsPerEpoch, totalSteps: job.steps ?? (job.epochs ?? 1) * stepsPerEpoch };
}

/** What every rank of the launch is told. Pure. */
export function runPlanOf(
  { id, job, totals }: TrainingJob,
  epoch: number,
  plan: Plan,
  hostOf: (device: string) => string,
): RunPlan {
  return {
    jobId: id,
    name: job.name,
    epoch,
    model: { sha256: artifactOf(job.model) ?? job.model, file: 'model.onnx' },
    weights: job.weights === undefined ? null : weightsRules(job.weights),
    frozen: [...patternsIn(job.frozen ?? [])],
    data: { train: job.data.train, validation: job.data.validation ?? null },
    loss: job.loss,
    lossOutput: job.lossOutput ?? null,
    batchNormalization: job.batchNormalization ?? 'exported',
    optimizer: job.optimizer,
    schedule: job.schedule ?? { kind: 'constant' },
    batch: job.batch,
    totalSteps: totals.totalSteps,
    stepsPerEpoch: totals.stepsPerEpoch,
    seed: job.seed ?? 0,
    clipNorm: job.clipNorm ?? null,
    wire: job.communication?.wire ?? 'float32',
    bucketBytes: job.communication?.bucketBytes ?? DEFAULT_BUCKET_BYTES,
    logEverySteps: job.logEverySteps ?? 1,
    validateEverySteps: job.data.validation ? (job.validateEverySteps ?? totals.stepsPerEpoch) : 0,
    checkpointEverySteps: job.checkpoint?.everySteps ?? 0,
    collectiveDeadlineSeconds: Math.max(
      COLLECTIVE_DEADLINE_SECONDS,
      Math.ceil(COLLECTIVE_DEADLINE_STEPS * plan.predictedStepSeconds),
    ),
    pipeline: {
      kind: plan.schedule.kind,
      microBatches: plan.schedule.microBatches,
      stagesPerRank: plan.schedule.stagesPerRank ?? 1,
      shardOptimizer: plan.shardOptimizer ?? true,
      stages: plan.stages.map(({ nodes, recompute = false }) => ({ nodes: [...nodes], recompute })),
    },
    // with several stages on each pipeline rank, the first of them tells its replicas
    ranks: plan.stages.slice(0, plan.stages.length / (plan.schedule.stagesPerRank ?? 1)).flatMap((stage) =>
      stage.replicas.map((replica) => ({
        device: replica.device,
        host: hostOf(replica.device),
        pipelineRank: stage.index,
        samples: [...(replica.samplesPerMicroBatch ?? [replica.samplesPerStep])],
        budgetBytes: replica.budgetBytes,
        accountedBytes: replica.predictedPeakBytes,
      })),
    ),
  };
}
