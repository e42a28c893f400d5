import type { RankFinished } from '../../protocol/index.js';
import type { RankSummary } from '../job/index.js';

/** What a rank that finished measured of itself. */
export function summaryOf(message: RankFinished): RankSummary {
  const { peakBytes, accountedBytes, medianStepSeconds, medianComputeSeconds, steps } = message;
  const links = message.links.map(({ toRank, bytes, seconds, messageBytes, messageSeconds }) => {
    return { toRank, bytes, seconds, messageBytes, messageSeconds };
  });
  return { peakBytes, accountedBytes, medianStepSeconds, medianComputeSeconds, steps, links };
}
