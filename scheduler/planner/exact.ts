import type { Seconds } from '../../base/index.js';
import type { Keeping } from './cost.js';
import type { Family } from './family.js';
import type { UnitRange } from './layers.js';
import { play, type Timetable } from './played.js';
import type { Group } from './group.js';
import type { Choice, Slicing, StageModel, StageOptions } from './stage.js';

/** All pipelines of a schedule whose ranks, two or more, are given groups. */
export interface CutSearch {
  readonly model: StageModel;
  /** Of each pipeline rank. */
  readonly groups: readonly Group[];
  readonly timetable: Timetable;
  readonly slicing: Slicing;
  readonly options: StageOptions;
  /** What was found for stages before, with the same slicing and options. */
  readonly known: KnownWays;
  /** Only what takes less is of interest. */
  readonly below: Seconds;
}

/** Ways to compute stages, by group, units and micro-batches in flight. */
export type KnownWays = Map<string, readonly Way[]>;

interface Way {
  readonly choice: Choice;
  /** Of the first of its stages. */
  readonly forward: Seconds;
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
  const { model, groups, timetable, slicing } = search;
  const { schedule, inFlight, joined } = timetable;
  const { ranks, stages, microBatches } = schedule;
  const units = model.layers.units.length;
  const split = schedule.kind === 'zero-bubble';
  const ranges: UnitRange[] = [];
  const choices: Choice[] = [];
  let best: readonly Choice[] | undefined;
  let bestSeconds = search.below;

  const leaf = () => {
    const { seconds } = play(model, { schedule, slicing, choices });
    if (seconds < bestSeconds) [best, bestSeconds] = [[...choices], seconds];
  };
  /** Speed of the ranks from one on, together. */
  const speeds = groups.map((_, rank) => groups.slice(rank).reduce((sum, { speed }) => sum + speed, 0));
  /** Whether the rest, from a unit on, may be computed by these ranks in time, after what comes before them. */
  const promising = (from: number, rank: number, ahead: Seconds) =>
    ahead + microBatches * model.groups.leastSeconds(from, units, slicing.samples, speeds[rank] ?? 0) <
    bestSeconds;
  const choose = (rank: number, ahead: Seconds, then: (ahead: Seconds) => void) => {
    const group = groups[rank]!;
    const held = ranges.flatMap((range, stage) =>
      stage % ranks === rank
        ? [{ ...range, inFlight: inFlight[stage]!, split, joined: joined && stage + 1 === stages }]
        : [],
    );
    const key = `${group.index}:${held.map(({ from, to, inFlight }) => `${from},${to},${inFlight}`).join(';')}`;
    let ways = search.known.get(key);
    if (!ways) search.known.set(key, (ways = waysOf(search, group, held)));
    for (const { choice, forward } of ways) {
      if (ahead + microBatches * choice.seconds + choice.after >= bestSeconds) continue;
      choices[rank] = choice;
      then(ahead + forward);
    }
    choices.length = rank;
  };
  const place = (stage: number, from: number, ahead: Seconds) => {
    const rank = stage - (stages - ranks);
    const last = stage + 1 === stages;
    for (let to = last ? units : from + 1; to <= units - (stages - 1 - stage); to++) {
      const next = (then: Seconds) => {
        if (last) leaf();
        else if (rank < 0 || stages > ranks || promising(to, rank + 1, then)) place(stage + 1, to, then);
      };
      ranges[stage] = { from, to };
      ranges.length = stage + 1;
      if (rank >= 0) choose(rank, ahead, next);
      else next(0);
    }
  };
  if (promising(0, 0, 0)) place(0, 0, 0);
  return best && { seconds: bestSeconds, choices: best };
}

/** With and without recomputation: replicas may be faster with it where memory is what limits their shares. */
function waysOf(
  { model, slicing, options }: CutSearch,
  group: Group,
  held: Choice['stages'],
): readonly Way[] {
  const { recompute, shares, counted } = options;
  if (counted && !model.runs(group, held)) return [];
  const way = (keeping: Keeping) => model.evaluate(group, held, slicing, keeping, shares);
  const kept = recompute === true ? undefined : way('kept');
  const again = recompute === false || (kept && !kept.limited) ? undefined : way('recomputed');
  return [kept, again].flatMap((choice) =>
    choice ? [{ choice, forward: model.costs(choice)[0]!.forward }] : [],
  );
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
