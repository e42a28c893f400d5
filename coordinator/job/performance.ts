import type { Bytes, Seconds } from '../../base/index.js';
import type { JobPerformance } from '../../protocol/index.js';
import type { Plan, Replica, Stage } from '../../scheduler/index.js';

/** How messages of a pipeline got from a rank to another: see the control plane's `LinkFlow`. */
export interface RankFlow {
  readonly toRank: number;
  readonly bytes: Bytes;
  readonly seconds: Seconds;
  readonly messageBytes: Bytes;
  readonly messageSeconds: Seconds;
}

/** What a rank measured of itself. */
export interface RankSummary {
  readonly peakBytes: number;
  readonly accountedBytes: number;
  readonly medianStepSeconds: number;
  readonly medianComputeSeconds: number;
  readonly steps: number;
  /** How its messages got to other ranks; runs of earlier versions have none. */
  readonly links?: readonly RankFlow[];
}

/** A rank of a plan: a device, and what it holds of the pipeline. */
export interface PlannedRank {
  readonly pipelineRank: number;
  /** All stages that it holds. */
  readonly stages: readonly Stage[];
  /** As it is in the first of them: samples, memory and budget are those of the device. */
  readonly replica: Replica;
  /** Over all its stages. */
  readonly predictedBusySeconds: number;
}

/** The ranks of a job in their order: by pipeline rank, then by replica. Pure. */
export function ranksOf({ stages, schedule }: Plan): readonly PlannedRank[] {
  const pipelineRanks = stages.length / (schedule.stagesPerRank ?? 1);
  return stages.slice(0, pipelineRanks).flatMap(({ replicas }, pipelineRank) => {
    const held = stages.filter((_, stage) => stage % pipelineRanks === pipelineRank);
    return replicas.map((replica, i) => ({
      pipelineRank,
      stages: held,
      replica,
      predictedBusySeconds: held.reduce((sum, stage) => sum + stage.replicas[i]!.predictedBusySeconds, 0),
    }));
  });
}

/**
 * A plan's predictions beside what its ranks measured. Pure.
 * @param summaries by rank; none while the job runs
 */
export function performanceOf(plan: Plan, summaries: readonly RankSummary[] = []): JobPerformance {
  return {
    predictedStepSeconds: plan.predictedStepSeconds,
    measuredStepSeconds:
      summaries.length === 0 ? null : Math.max(...summaries.map((summary) => summary.medianStepSeconds)),
    devices: ranksOf(plan).map(({ stages, replica, predictedBusySeconds }, rank) => {
      const measured = summaries[rank];
      return {
        device: replica.device,
        stages: stages.map(({ index }) => index),
        samplesPerStep: replica.samplesPerStep,
        budgetBytes: replica.budgetBytes,
        predictedPeakBytes: replica.predictedPeakBytes,
        measuredPeakBytes: measured?.peakBytes ?? null,
        predictedBusySeconds,
        measuredBusySeconds: measured?.medianComputeSeconds ?? null,
        measuredStepSeconds: measured?.medianStepSeconds ?? null,
      };
    }),
  };
}
