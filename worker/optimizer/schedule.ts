import type { ScheduleConfig } from '../../protocol/index.js';

/**
 * The factor by which the learning rate is multiplied at a step. Pure, so every rank computes the same.
 *
 * With w = warmupSteps, N = totalSteps, f = minFactor and progress p = (step - w) / (N - 1 - w), at most 1:
 * - the first w steps rise linearly: (step + 1) / w, so that the last of them has factor 1 and none has 0;
 * - `constant`: 1
 * - `linear`: 1 - (1 - f) p
 * - `cosine`: f + (1 - f) (1 + cos(pi p)) / 2, after Loshchilov and Hutter, SGDR (2017), one cycle
 * - `step`: gamma ^ floor((step - w) / everySteps)
 *
 * @param step from 0
 * @param totalSteps of the whole job; the last step, N - 1, has factor f in `linear` and `cosine`
 */
export function scheduleFactor(config: ScheduleConfig, step: number, totalSteps: number): number {
  const { kind, warmupSteps = 0, minFactor = 0, everySteps = 1000, gamma = 0.1 } = config;
  if (step < warmupSteps) return (step + 1) / warmupSteps;
  const since = step - warmupSteps;
  const progress = Math.min(1, since / Math.max(1, totalSteps - 1 - warmupSteps));
  switch (kind) {
    case 'constant':
      return 1;
    case 'linear':
      return 1 - (1 - minFactor) * progress;
    case 'cosine':
      return minFactor + ((1 - minFactor) * (1 + Math.cos(Math.PI * progress))) / 2;
    case 'step':
      return gamma ** Math.floor(since / everySteps);
  }
}

/** The learning rate of a step: `lr` times the schedule's factor; `lr` alone without a schedule. */
export function learningRateAt(
  lr: number,
  schedule: ScheduleConfig | undefined,
  step: number,
  totalSteps: number,
): number {
  return schedule ? lr * scheduleFactor(schedule, step, totalSteps) : lr;
}
