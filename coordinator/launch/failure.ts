import { fromReport, reportOf } from '../../base/index.js';
import type { RankFailed } from '../../protocol/index.js';
import type { Failure } from './rank.js';

/** What went wrong here, of the device that it names. */
export function ownFailure(error: unknown): Failure {
  const report = reportOf(error);
  const { device } = report.ids;
  return { ...report, device: typeof device === 'string' ? device : null };
}

/** What a rank says that went wrong. @param host the device whose daemon says so, where the rank names none */
export function failureOf({ device, family, code, message, idsJson }: RankFailed, host: string): Failure {
  const known = family === 'user' || family === 'bug' ? family : 'peer';
  return {
    ...reportOf(fromReport({ family: known, code, message, ids: idsOf(idsJson) })),
    device: device === '' ? host : device,
  };
}

function idsOf(json: string): Record<string, unknown> {
  try {
    const ids: unknown = JSON.parse(json);
    return typeof ids === 'object' && ids !== null ? (ids as Record<string, unknown>) : {};
  } catch {
    return {};
  }
}
