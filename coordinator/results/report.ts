import { performanceOf, type RankSummary } from '../job/index.js';
import type { Report } from '../../protocol/index.js';
import type { Plan } from '../../scheduler/index.js';

/** `report.json`: the plan's predictions beside the ranks' measurements, in the order of the ranks. Pure. */
export function reportOf(job: string, plan: Plan, summaries: readonly RankSummary[]): Report {
  const { devices, predictedStepSeconds, measuredStepSeconds } = performanceOf(plan, summaries);
  return {
    job,
    steps: Math.max(0, ...summaries.map((summary) => summary.steps)),
    predictedStepSeconds,
    measuredStepSeconds: measuredStepSeconds ?? 0,
    devices: devices.flatMap((device, rank) => {
      const summary = summaries[rank];
      if (!summary) return [];
      return [
        {
          ...device,
          measuredPeakBytes: summary.peakBytes,
          accountedBytes: summary.accountedBytes,
          predictedStepSeconds,
          measuredStepSeconds: summary.medianStepSeconds,
          measuredBusySeconds: summary.medianComputeSeconds,
        },
      ];
    }),
  };
}
