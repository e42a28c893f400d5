import type { ModelTiming, Plan, Replica, Stage } from '../../scheduler/index.js';
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
      const fresh = timingOf(replica, stages, ratio);
      return [{ device, update: (known) => scaledWithin(known, units, by) ?? withRanges(known, fresh) }];
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

/** The stages of a rank as it took them: what was foretold of each part, times what the rank as a whole took more. */
function timingOf(replica: Replica, stages: readonly Stage[], ratio: number): ModelTiming | undefined {
  const { samplesPerMicroBatch = [] } = replica;
  const ranges = stages.flatMap(({ units, seconds, recompute }) => {
    if (!units || !seconds || recompute) return []; // its backward pass is more than one
    const [from, to] = units;
    const { forward, backwardInput, backwardWeight } = seconds;
    return [
      {
        from,
        to,
        forward: forward * ratio,
        backwardInput: backwardInput * ratio,
        backwardWeight: backwardWeight * ratio,
      },
    ];
  });
  const samples = Math.max(0, ...samplesPerMicroBatch);
  return ranges.length > 0 && samples > 0 ? { samples, ranges, whole: null } : undefined;
}

/** Ranges beside those that are known, which are of other units; only of the same number of samples. */
function withRanges(known: ModelTiming | undefined, fresh: ModelTiming | undefined): ModelTiming | undefined {
  if (!known || !fresh) return fresh;
  if (known.ranges.length === 0) return { ...fresh, whole: known.whole };
  return known.samples === fresh.samples
    ? { ...known, ranges: [...known.ranges, ...fresh.ranges] }
    : undefined;
}

/**
 * Ranges in units of the rank's stages take so many times as long, those that lie there in part by that part
 * (geometrically): where two plans cut the model in different places, each has its say.
 */
function scaledWithin(
  known: ModelTiming | undefined,
  units: readonly (readonly [number, number])[],
  by: number,
): ModelTiming | undefined {
  const inside = (from: number, to: number) =>
    units.reduce((sum, [a, b]) => sum + Math.max(0, Math.min(to, b) - Math.max(from, a)), 0);
  if (!known?.ranges.some(({ from, to }) => inside(from, to) > 0)) return undefined;
  return {
    ...known,
    ranges: known.ranges.map((range) => {
      const times = by ** (inside(range.from, range.to) / (range.to - range.from));
      const { forward, backwardInput, backwardWeight } = range;
      return {
        ...range,
        forward: forward * times,
        backwardInput: backwardInput * times,
        backwardWeight: backwardWeight * times,
      };
    }),
  };
}
