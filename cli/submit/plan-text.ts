import { formatBytes, formatSeconds } from '../../base/index.js';
import type { Plan } from '../../scheduler/index.js';
import { table } from '../terminal/table.js';

/** A plan for people: what it takes, who does what within which budget, and the plans that lost. */
export function planText(plan: Plan): string {
  const rows = plan.stages.flatMap((stage) =>
    stage.replicas.map((replica) => [
      String(stage.index),
      replica.device,
      String(stage.nodes.length),
      String(replica.samplesPerStep),
      `${formatBytes(replica.predictedPeakBytes)} of ${formatBytes(replica.budgetBytes)}`,
      formatSeconds(replica.predictedBusySeconds),
      stage.recompute ? 'yes' : 'no',
    ]),
  );
  const { kind, microBatches } = plan.schedule;
  const gap =
    plan.gap === undefined ? '' : `, at most ${(100 * plan.gap).toFixed(0)} % above what is possible`;
  const rejected = plan.rejected.map(({ plan: what, reason, predictedStepSeconds }) => {
    const seconds = predictedStepSeconds === undefined ? '' : `${formatSeconds(predictedStepSeconds)}: `;
    return `  ${what}: ${seconds}${reason}`;
  });
  return [
    `${formatSeconds(plan.predictedStepSeconds)} a step (${kind}, ${microBatches} micro-batch${microBatches === 1 ? '' : 'es'}${gap})`,
    `bottleneck: ${plan.bottleneck.device}, ${plan.bottleneck.why}`,
    table(['STAGE', 'DEVICE', 'NODES', 'SAMPLES', 'PEAK MEMORY', 'BUSY', 'RECOMPUTES'], rows),
    ...plan.explanation,
    ...(rejected.length > 0 ? ['rejected:', ...rejected] : []),
  ].join('\n');
}
