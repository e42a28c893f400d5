import type { Report } from '../../protocol/index.js';
import type { Plan } from '../../scheduler/index.js';

/** What a rank measured of itself. */
export interface RankSummary {
  readonly peakBytes: number;
  readonly accountedBytes: number;
  readonly medianStepSeconds: number;
  readonly medianComputeSeconds: number;
  readonly steps: number;
}

/** `report.json`: the plan's predictions beside the ranks' measurements, in the plan's order. Pure. */
export function reportOf(job: string, plan: Plan, summaries: readonly RankSummary[]): Report {
  const replicas = plan.stages.flatMap((stage) => stage.replicas);
  return {
    job,
    steps: Math.max(0, ...summaries.map((summary) => summary.steps)),
    predictedStepSeconds: plan.predictedStepSeconds,
    measuredStepSeconds: Math.max(0, ...summaries.map((summary) => summary.medianStepSeconds)),
    devices: replicas.flatMap((replica, rank) => {
      const summary = summaries[rank];
      if (!summary) return [];
      return [
        {
          device: replica.device,
          samplesPerStep: replica.samplesPerStep,
          budgetBytes: replica.budgetBytes,
          predictedPeakBytes: replica.predictedPeakBytes,
          measuredPeakBytes: summary.peakBytes,
          accountedBytes: summary.accountedBytes,
          predictedStepSeconds: plan.predictedStepSeconds,
          measuredStepSeconds: summary.medianStepSeconds,
          predictedComputeSeconds: replica.predictedBusySeconds,
          measuredComputeSeconds: summary.medianComputeSeconds,
        },
      ];
    }),
  };
}
