import type { Seconds } from '../../base/index.js';
import { SCHEDULE_KINDS, type ScheduleKind } from '../pipeline/index.js';
import { bestChain } from './chain.js';
import { bestCuts, pathsOf, type KnownWays } from './exact.js';
import { MOST_BLOCKS } from './family.js';
import { Grains, LONGEST, type Grain } from './grain.js';
import { play, timetable } from './played.js';
import type { Forced, PlanRequest } from './request.js';
import { microBatchCounts } from './slicing.js';
import type { Choice, Slicing, StageOptions } from './stage.js';

/** A plan with what it was chosen by. */
export interface Candidate extends Grain {
  readonly seconds: Seconds;
  readonly kind: 'data-parallel' | ScheduleKind;
  readonly stagesPerRank: number;
  readonly slicing: Slicing;
  /** Of each pipeline rank, the first one first; their stages are ranges of the units of `model`. */
  readonly choices: readonly Choice[];
}

/** Longer pipelines are not considered where groups of any size may follow each other. */
const MOST_RANKS = 16;
/** Schedules of more micro-batches are not gone through one by one. */
const MOST_SIMULATED = 64;
export const INTERLEAVED_STAGES = 2;

/**
 * The best plans found, the fastest first: one for each kind of schedule, each device alone and all of them as replicas of
 * one stage.
 *
 * Two searches, each exact over what it considers; and what they consider depends on the model, the batch and who the
 * devices are, never on speeds, memory or links. Every cost falls with those, so the least of all does: more memory or a
 * faster device or link never makes the plan slower.
 *
 * 1. All replications of one stage and all 1F1B pipelines, by dynamic programming on a bound of the simulated time
 *    (`bestChain`): any number of devices.
 * 2. All schedules by the simulator itself, up to five devices (`bestCuts`), on units merged until few enough are left.
 *
 * Where a job forces another schedule on more than five devices, the pipeline of the first search is simulated with it; then,
 * and where the time limit cuts a search short, the promise does not hold.
 * Time grows as `bestChain` does, times the counts of micro-batches (at most 10).
 * @param any ends with the first plan found, whatever it takes
 */
export function search(request: PlanRequest, any = false): readonly Candidate[] {
  const { parallelism: forced = {}, timeLimitSeconds = Infinity, now = () => 0 } = request;
  const end = now() + timeLimitSeconds;
  const found = new Map<string, Candidate>();
  const spent = (one = found.size > 0) => now() >= end || (any && one);
  const fastest = () =>
    [...found.values()].reduce((least, { seconds }) => Math.min(least, seconds), Infinity);
  const offer = (key: string, candidate: Candidate | undefined) => {
    const known = found.get(key);
    if (candidate && !(known && known.seconds <= candidate.seconds)) found.set(key, candidate);
  };
  const grains = new Grains(request);
  const chains = grains.forChains();
  const { least, most } = rankLimits(request);
  const slicings = slicingsOf(request);
  for (const slicing of slicings) {
    if (least > 1) break;
    for (const candidate of oneStage(request, chains, slicing)) offer(nameOf(candidate), candidate);
  }
  for (const slicing of slicings) {
    if (spent()) break;
    const kind = forced.schedule ?? '1f1b';
    const below = fastest();
    for (const chain of pipelines(request, chains, slicing, { least, most, kind, below, spent })) {
      offer(nameOf(chain), chain);
    }
  }
  for (const grain of longGrains(request, grains)) {
    const limits = { least: Math.max(2, least), most: Math.min(LONGEST, grain.model.layers.units.length) };
    for (const slicing of slicings) {
      if (spent() || slicing.microBatches === 1) continue;
      const wanted = { ...limits, kind: forced.schedule ?? '1f1b', below: fastest(), spent } as const;
      for (const chain of pipelines(request, grain, slicing, wanted)) offer(nameOf(chain), chain);
    }
  }
  const onlyFits = any && (forced.schedule ?? '1f1b') === '1f1b';
  if (chains.family.complete && !onlyFits) {
    for (const candidate of simulated(request, grains, { least, most, slicings, spent, fastest })) {
      offer(nameOf(candidate), candidate);
    }
  }
  return [...found.values()].sort((a, b) => a.seconds - b.seconds);
}

/** Where blocks of devices are all replicas of a stage: pipelines whose stages have fewer replicas, so that more fits. */
function* longGrains({ devices, parallelism = {} }: PlanRequest, grains: Grains): Generator<Grain> {
  if (devices.length <= MOST_BLOCKS || parallelism.data !== undefined || parallelism.pipeline !== undefined)
    return;
  const fewest = 2 ** Math.ceil(Math.log2(Math.max(1, devices.length / LONGEST)));
  for (let replicas = fewest; 4 * replicas <= devices.length; replicas *= 4) yield grains.forRuns(replicas);
}

/** Plans of the same name compete; the best of each is kept. */
export function nameOf({ kind, choices }: Pick<Candidate, 'kind' | 'choices'>): string {
  const [first] = choices;
  if (kind !== 'data-parallel' || !first) return kind;
  return first.group.size === 1 ? `alone on ${first.group.devices[0]!.id}` : kind;
}

function rankLimits({ parallelism = {}, devices, layers }: PlanRequest): { least: number; most: number } {
  const { pipeline, schedule, data } = parallelism;
  const most = Math.min(
    MOST_RANKS,
    layers.units.length,
    data === undefined ? devices.length : Math.floor(devices.length / data),
  );
  if (pipeline !== undefined) return { least: pipeline, most: pipeline };
  return { least: schedule === undefined ? 1 : 2, most };
}

function slicingsOf({ batch, parallelism = {} }: PlanRequest): readonly Slicing[] {
  const counts =
    parallelism.microBatches === undefined ? microBatchCounts(batch) : [parallelism.microBatches];
  const sharded = parallelism.shardOptimizer === undefined ? [true, false] : [parallelism.shardOptimizer];
  return [...counts]
    .sort((a, b) => extremity(a, batch) - extremity(b, batch))
    .flatMap((microBatches) =>
      sharded.map((shardOptimizer) => ({
        microBatches,
        samples: Math.ceil(batch / microBatches),
        shardOptimizer,
      })),
    );
}

/** Counts in the middle come first: they give a good plan early, which ends most branches of the others. */
function extremity(microBatches: number, batch: number): number {
  return Math.abs(Math.log(microBatches / Math.sqrt(batch)));
}

function optionsOf({ recompute, shares }: Forced): StageOptions {
  return { recompute, shares };
}

/** Each device alone, and all of them. */
function* oneStage(request: PlanRequest, grain: Grain, slicing: Slicing): Generator<Candidate> {
  const { parallelism: forced = {}, devices } = request;
  const { model } = grain;
  const units = model.layers.units.length;
  const sets = [...devices.map((device) => [device]), ...(devices.length > 1 ? [devices] : [])];
  for (const set of sets) {
    if (forced.data !== undefined && forced.data !== set.length) continue;
    // alone there is nothing to share: once is enough
    if (set.length === 1 && !slicing.shardOptimizer && forced.shardOptimizer === undefined) continue;
    const group = model.group(-1, set, forced.shares !== undefined);
    const stages = [{ from: 0, to: units, inFlight: 1 }];
    const choice = model.choose(group, stages, slicing, true, optionsOf(forced));
    if (!choice) continue;
    const seconds = slicing.microBatches * choice.seconds + choice.after;
    yield { ...grain, seconds, kind: 'data-parallel', stagesPerRank: 1, slicing, choices: [choice] };
  }
}

interface Wanted {
  readonly least: number;
  readonly most: number;
  readonly kind: ScheduleKind;
  readonly below: Seconds;
  readonly spent: (found?: boolean) => boolean;
}

/** Pipelines by dynamic programming; those of another schedule than 1F1B are simulated then. */
function* pipelines(
  request: PlanRequest,
  grain: Grain,
  slicing: Slicing,
  { least, most, kind, below, spent }: Wanted,
): Generator<Candidate> {
  const options = optionsOf(request.parallelism ?? {});
  const { model, family } = grain;
  const { microBatches } = slicing;
  const common = { ...grain, slicing, stagesPerRank: 1 };
  if (kind === '1f1b') {
    const inFlight = (fromEnd: number) => Math.min(microBatches, fromEnd);
    const chain = bestChain({ model, family, slicing, options, least, most, inFlight, below, spent });
    if (!chain) return;
    yield { ...common, ...chain, kind: chain.choices.length === 1 ? 'data-parallel' : kind };
    return;
  }
  if (family.complete || kind === 'interleaved') return;
  for (let ranks = Math.max(2, least); ranks <= most; ranks++) {
    const table = timetable(kind, ranks, 1, microBatches);
    if (!table) continue;
    const inFlight = (fromEnd: number) => table.inFlight[ranks - fromEnd] ?? microBatches;
    const limits = { least: ranks, most: ranks, inFlight, below: Infinity, spent };
    const chain = bestChain({ model, family, slicing, options, ...limits });
    if (!chain) continue;
    const { seconds } = play(model, { schedule: table.schedule, slicing, choices: chain.choices });
    yield { ...common, ...chain, seconds, kind };
  }
}

interface Simulating {
  readonly least: number;
  readonly most: number;
  readonly slicings: readonly Slicing[];
  readonly spent: () => boolean;
  readonly fastest: () => Seconds;
}

/** All pipelines of all schedules, one after the other. */
function* simulated(
  { parallelism: forced = {} }: PlanRequest,
  grains: Grains,
  { least, most, slicings, spent, fastest }: Simulating,
): Generator<Candidate> {
  const kinds = forced.schedule ? [forced.schedule] : SCHEDULE_KINDS;
  for (const kind of kinds) {
    for (let ranks = Math.max(2, least); ranks <= most; ranks++) {
      const stagesPerRank = kind === 'interleaved' ? (forced.stagesPerRank ?? INTERLEAVED_STAGES) : 1;
      const grain = grains.forPipelines(ranks, ranks * stagesPerRank);
      if (!grain) continue;
      const { model, family } = grain;
      for (const slicing of slicings) {
        if (spent()) return;
        if (slicing.microBatches > MOST_SIMULATED && forced.microBatches === undefined) continue;
        const table = timetable(kind, ranks, stagesPerRank, slicing.microBatches);
        if (!table) continue;
        const known: KnownWays = new Map();
        for (const groups of pathsOf(family, ranks)) {
          const shares = groups.some(({ size }) => size > 1);
          if (!shares && !slicing.shardOptimizer && forced.shardOptimizer === undefined) continue;
          const options = optionsOf(forced);
          const below = fastest();
          const cut = bestCuts({ model, groups, timetable: table, slicing, options, known, below });
          if (cut) yield { ...grain, ...cut, kind, stagesPerRank, slicing };
        }
      }
    }
  }
}
