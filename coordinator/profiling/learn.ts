import type { ModelTiming, Plan } from '../../scheduler/index.js';
import { ranksOf, type RankSummary } from '../job/index.js';

/** Medians of fewer steps tell of the start of a run. */
const FEWEST_STEPS = 5;
/** A run that was so much slower or faster than foretold was disturbed. */
const MOST_RATIO = 5;

/** What a run tells of a device: how to correct what was known of its model there. */
export interface Learned {
  readonly device: string;
  /** @param known what was known; @returns undefined where the run adds nothing */
  readonly update: (known: ModelTiming | undefined) => ModelTiming | undefined;
}

/**
 * What a run's ranks measured of themselves, beside what the plan foretold of them. Half of the way to what was
 * measured is gone (geometric mean), so that one disturbed run does little; what was not timed before is taken as
 * measured. Pure.
 */
export function learned(plan: Plan, measured: readonly RankSummary[]): readonly Learned[] {
  return ranksOf(plan).flatMap(({ replica, stages, predictedBusySeconds }, rank): Learned[] => {
    const { medianComputeSeconds = 0, steps = 0 } = measured[rank] ?? {};
    if (steps < FEWEST_STEPS || !(medianComputeSeconds > 0 && predictedBusySeconds > 0)) return [];
    const ratio = medianComputeSeconds / predictedBusySeconds;
    const by = Math.sqrt(Math.min(MOST_RATIO, Math.max(1 / MOST_RATIO, ratio)));
    const { device, samplesPerStep } = replica;
    if (plan.stages.length > 1) {
      const units = stages.flatMap((stage) => (stage.units ? [stage.units] : []));
      return [{ device, update: (known) => known && scaledWithin(known, units, by) }];
    }
    const { microBatches } = plan.schedule;
    const whole = { samples: samplesPerStep / microBatches, seconds: medianComputeSeconds / microBatches };
    const update = (known: ModelTiming | undefined): ModelTiming =>
      known?.whole
        ? { ...known, whole: { ...known.whole, seconds: known.whole.seconds * by } }
        : { samples: known?.samples ?? whole.samples, ranges: known?.ranges ?? [], whole };
    return [{ device, update }];
  });
}

/** Ranges that lie in units of the rank's stages at least by half take so many times as long. */
function scaledWithin(
  known: ModelTiming,
  units: readonly (readonly [number, number])[],
  by: number,
): ModelTiming | undefined {
  if (known.ranges.length === 0) return undefined;
  const inside = (from: number, to: number) =>
    units.reduce((sum, [a, b]) => sum + Math.max(0, Math.min(to, b) - Math.max(from, a)), 0);
  return {
    ...known,
    ranges: known.ranges.map((range) => {
      if (2 * inside(range.from, range.to) < range.to - range.from) return range;
      const { forward, backwardInput, backwardWeight } = range;
      return {
        ...range,
        forward: forward * by,
        backwardInput: backwardInput * by,
        backwardWeight: backwardWeight * by,
      };
    }),
  };
}
