import type { Seconds } from '../../base/index.js';
import {
  artifactOf,
  forcedBy,
  patternsIn,
  weightsRules,
  type JobSpec,
  type RunPlan,
} from '../../protocol/index.js';
import {
  DEFAULT_BUCKET_BYTES,
  levelDevices,
  type Device,
  type Plan,
  type Topology,
} from '../../scheduler/index.js';
import { UnsupportedJobError } from '../errors.js';
import { ranksOf, type JobTotals, type ModelFacts, type TrainingJob } from '../job/index.js';
import type { PlanQuestion } from '../prepare/index.js';

/** A collective may wait for the slowest rank's step; a fault is found by its lease long before. */
const COLLECTIVE_DEADLINE_SECONDS = 30;
const COLLECTIVE_DEADLINE_STEPS = 20;

/** What a person who submits waits for at most. */
const PLANNING_SECONDS: Seconds = 30;

/**
 * A job on devices, as a question to the planner. Rates are levelled: equal devices get equal shares. Pure.
 * @param calibrated adds what is known of the model on them
 */
export function planQuestion(
  job: JobSpec,
  model: ModelFacts,
  devices: readonly Device[],
  topology: Topology,
  calibrated: (devices: readonly Device[]) => readonly Device[] = (rated) => rated,
): PlanQuestion {
  return {
    layers: model.layers,
    job: model.job,
    batch: job.batch,
    devices: calibrated(levelDevices(devices)),
    topology,
    parallelism: forcedBy(job.parallelism),
    timeLimitSeconds: PLANNING_SECONDS,
  };
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
    fallback: job.fallback ?? 'report',
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
    ranks: ranksOf(plan).map(({ pipelineRank, replica }) => ({
      device: replica.device,
      host: hostOf(replica.device),
      pipelineRank,
      samples: [...(replica.samplesPerMicroBatch ?? [replica.samplesPerStep])],
      budgetBytes: replica.budgetBytes,
      accountedBytes: replica.predictedPeakBytes,
      updateOnDevice: replica.updateOnDevice ?? false,
    })),
  };
}
