import type { JobLedger, Progress, RankSummary } from '../job/index.js';
import type { Verdict } from './machine.js';
import { isOverBudget } from './overrun.js';

/** Writes down how a job ended. @param at milliseconds since 1970 */
export function recordEnd(
  ledger: JobLedger,
  at: number,
  end: Verdict,
  progress: Progress,
  measured: readonly RankSummary[],
): void {
  switch (end.kind) {
    case 'succeeded':
      ledger.record({ type: 'succeeded', at, progress, measured });
      return;
    case 'cancelled':
      ledger.record({ type: 'cancelled', at, progress });
      return;
    case 'failed': {
      const { family, code, device } = end.error;
      const before = isOverBudget(end.error) ? ledger.job.replanned : undefined;
      const message = before
        ? `${end.error.message}. This was its second plan; the first ended with: ${before.message}`
        : end.error.message;
      ledger.record({ type: 'failed', at, error: { family, code, message, device }, progress });
    }
  }
}
