import { measuredBottleneck, performanceOf, ranksOf, type LinkUse, type RankSummary } from '../job/index.js';
import type { Report } from '../../protocol/index.js';
import type { Plan } from '../../scheduler/index.js';

/**
 * `report.json`: the plan's predictions beside the ranks' measurements, in the order of the ranks. Pure.
 * @param links of a pipeline, as they were used
 */
export function reportOf(
  job: string,
  plan: Plan,
  summaries: readonly RankSummary[],
  links: readonly LinkUse[] = [],
): Report {
  const ranks = ranksOf(plan).map(({ replica }) => replica);
  const { devices, predictedStepSeconds, measuredStepSeconds } = performanceOf(plan, summaries);
  return {
    job,
    steps: Math.max(0, ...summaries.map((summary) => summary.steps)),
    predictedStepSeconds,
    measuredStepSeconds: measuredStepSeconds ?? 0,
    bottleneck: measuredBottleneck(ranks, summaries, links),
    links: links.map(({ from, to, bytesPerStep, secondsPerStep, planned, measuredBytesPerSecond }) => ({
      from,
      to,
      bytesPerStep,
      secondsPerStep,
      plannedBytesPerSecond: planned.bandwidthBytesPerSecond,
      plannedLatencySeconds: planned.latencySeconds,
      measuredBytesPerSecond,
    })),
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
