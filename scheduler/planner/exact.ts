import type { Seconds } from '../../base/index.js';
import type { Family } from './family.js';
import type { UnitRange } from './layers.js';
import { play, type Timetable } from './played.js';
import type { Choice, Group, Slicing, StageModel, StageOptions } from './stage.js';

/** All pipelines of a schedule whose ranks are given groups. */
export interface CutSearch {
  readonly model: StageModel;
  /** Of each pipeline rank. */
  readonly groups: readonly Group[];
  readonly timetable: Timetable;
  readonly slicing: Slicing;
  readonly options: StageOptions;
  /** Only what takes less is of interest. */
  readonly below: Seconds;
}

export interface SimulatedChain {
  readonly seconds: Seconds;
  readonly choices: readonly Choice[];
}

/**
 * The fastest of all cuts by the simulator itself: exact. Depth first over the stages; a rank that alone, or with what its
 * first micro-batch waits for, would take longer than the best so far ends its branch, so that few are simulated.
 * O(units ^ (stages - 1)) at worst: for small models, or ones merged to be small.
 */
export function bestCuts(search: CutSearch): SimulatedChain | undefined {
  const { model, groups, timetable, slicing, options } = search;
  const { schedule, inFlight } = timetable;
  const { ranks, stages, microBatches } = schedule;
  const units = model.layers.units.length;
  const ranges: UnitRange[] = [];
  const choices: Choice[] = [];
  let best: readonly Choice[] | undefined;
  let bestSeconds = search.below;

  const leaf = () => {
    const { seconds } = play(model, { schedule, slicing, choices });
    if (seconds < bestSeconds) [best, bestSeconds] = [[...choices], seconds];
  };
  const choose = (rank: number, then: () => void) => {
    const group = groups[rank]!;
    const held = ranges.flatMap((range, stage) =>
      stage % ranks === rank ? [{ ...range, inFlight: inFlight[stage]! }] : [],
    );
    for (const choice of waysOf(model, group, held, slicing, ranks === 1, options)) {
      if (microBatches * choice.seconds + choice.after >= bestSeconds) continue;
      choices[rank] = choice;
      if (leastSeconds(model, choices.slice(0, rank + 1), microBatches) < bestSeconds) then();
    }
    choices.length = rank;
  };
  const place = (stage: number, from: number) => {
    const rank = stage - (stages - ranks);
    const next = (to: number) => {
      if (stage + 1 === stages) leaf();
      else place(stage + 1, to);
    };
    const last = stage + 1 === stages;
    for (let to = last ? units : from + 1; to <= units - (stages - 1 - stage); to++) {
      ranges[stage] = { from, to };
      ranges.length = stage + 1;
      if (rank >= 0) choose(rank, () => next(to));
      else next(to);
    }
  };
  place(0, 0);
  return best && { seconds: bestSeconds, choices: best };
}

/** With and without recomputation: replicas may be faster with it where memory is what limits their shares. */
function waysOf(
  model: StageModel,
  group: Group,
  held: Choice['stages'],
  slicing: Slicing,
  alone: boolean,
  options: StageOptions,
): readonly Choice[] {
  const way = (recompute: boolean) =>
    options.recompute === undefined || options.recompute === recompute
      ? model.evaluate(group, held, slicing, alone, recompute, options.shares)
      : undefined;
  const kept = way(false);
  if (kept && group.size === 1) return [kept];
  return [kept, way(true)].filter((each) => each !== undefined);
}

/** What no simulation goes below: a rank computes all its micro-batches after the first has come to it. */
function leastSeconds(model: StageModel, choices: readonly Choice[], microBatches: number): Seconds {
  let [least, ahead] = [0, 0];
  for (const choice of choices) {
    least = Math.max(least, ahead + microBatches * choice.seconds + choice.after);
    ahead += model.costs(choice)[0]!.forward;
  }
  return least;
}

/**
 * The groups of every pipeline of a family with so many ranks, the first rank's first.
 * O(paths): for complete families of up to five devices.
 */
export function* pathsOf(family: Family, ranks: number): Generator<readonly Group[]> {
  function* back(node: number, path: readonly Group[]): Generator<readonly Group[]> {
    const { group, before } = family.nodes[node]!;
    const longer = [family.groups[group]!, ...path];
    if (longer.length === ranks) yield longer;
    else for (const earlier of before) yield* back(earlier, longer);
  }
  for (const node of family.last) yield* back(node, []);
}

export function countPaths(family: Family, ranks: number): number {
  let paths = 0;
  for (const path of pathsOf(family, ranks)) paths += path.length > 0 ? 1 : 0;
  return paths;
}

/** Ways to cut units into stages: units - 1 over stages - 1. */
export function waysToCut(units: number, stages: number): number {
  let ways = units < stages ? 0 : 1;
  for (let i = 1; i < stages; i++) ways *= (units - i) / i;
  return ways;
}
