import { formatBytes } from '../../base/index.js';
import { fixedStatistics, runningStatistics, type Graph } from '../../graph/index.js';
import type { RunPlan } from '../../protocol/index.js';
import type { Fallback } from '../engine/index.js';
import type { RankMessage, RunId } from '../messages.js';

/** A line for the job's log. */
export type Note = Extract<RankMessage, { kind: 'log' }>;

/** What was predicted of the memory beside what was measured; over the budget it is a warning. */
export function memoryNote(run: RunId, plan: RunPlan, peakBytes: number): Note {
  const { budgetBytes, accountedBytes, device } = plan.ranks[run.rank]!;
  const over = peakBytes - budgetBytes;
  const verdict = over > 0 ? `, ${formatBytes(over)} over` : '';
  return {
    kind: 'log',
    run,
    level: over > 0 ? 'warn' : 'info',
    message:
      `${device}: its executor held at most ${formatBytes(peakBytes)} of a budget of ${formatBytes(budgetBytes)}${verdict}; ` +
      `accounted for ${formatBytes(accountedBytes)}`,
  };
}

/** Where a rank's optimizer runs, where that could have been otherwise. */
export function updateNote(run: RunId, plan: RunPlan, why: string): Note {
  return { kind: 'log', run, level: 'info', message: `${plan.ranks[run.rank]!.device}: ${why}` };
}

/** Nodes that a rank's device cannot run, each kind once; undefined where there are none. */
export function fallbackNote(run: RunId, plan: RunPlan, fallbacks: readonly Fallback[]): Note | undefined {
  if (fallbacks.length === 0) return undefined;
  const nodes = [...new Set(fallbacks.map(({ node }) => node))];
  const reasons = [...new Set(fallbacks.map(({ reason }) => reason))];
  const more = nodes.length > 8 ? ` and ${nodes.length - 8} more` : '';
  return {
    kind: 'log',
    run,
    level: 'warn',
    message:
      `${plan.ranks[run.rank]!.device}: ${nodes.length} node${nodes.length === 1 ? '' : 's'} ran on the CPU and not on the ` +
      `device (${reasons.join('; ')}): ${nodes.slice(0, 8).join(', ')}${more}`,
  };
}

/**
 * A model whose BatchNormalization was exported for prediction trains otherwise than its module would, unless the
 * job says how it should: worth a word.
 */
export function normalizationNote(run: RunId, plan: RunPlan, graph: Graph): Note | undefined {
  const asExported = plan.batchNormalization === 'exported';
  if (!asExported || fixedStatistics(graph).size === 0 || runningStatistics(graph).size > 0) return undefined;
  return {
    kind: 'log',
    run,
    level: 'info',
    message:
      'BatchNormalization was exported for prediction: it uses the running statistics that it has, and they stay as ' +
      'they are. With batchNormalization: train in the job file it takes those of each batch, as a module in training',
  };
}
