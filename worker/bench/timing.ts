import { median, type Seconds } from '../../base/index.js';

/** A measured duration: the middle, and how far the others lie from it. */
export interface Timing {
  readonly medianSeconds: Seconds;
  readonly minSeconds: Seconds;
  readonly maxSeconds: Seconds;
}

/** @param samples at least one; not changed */
export function timingOf(samples: readonly Seconds[]): Timing {
  const sorted = [...samples].sort((a, b) => a - b);
  return { medianSeconds: median(sorted), minSeconds: sorted[0]!, maxSeconds: sorted.at(-1)! };
}
