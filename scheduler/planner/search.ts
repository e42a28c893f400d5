import type { Seconds } from '../../base/index.js';
import { SCHEDULE_KINDS, type ScheduleKind } from '../pipeline/index.js';
import { bestChain } from './chain.js';
import { inOrder, nameOf, type Candidate } from './candidate.js';
import { bestCuts, pathsOf, type KnownWays } from './exact.js';
import { ALL_ORDERS, MOST_BLOCKS } from './family.js';
import { Grains, LONGEST, type Grain } from './grain.js';
import { timetable } from './played.js';
import type { Forced, PlanRequest } from './request.js';
import { rescheduled } from './rescheduled.js';
import { microBatchCounts } from './slicing.js';
import type { Slicing, StageOptions } from './stage.js';

/** Longer pipelines are not considered where groups of any size may follow each other. */
const MOST_RANKS = 16;
/** Schedules of more micro-batches are not gone through one by one. */
const MOST_SIMULATED = 64;
export const INTERLEAVED_STAGES = 2;

/** Chains whose figures come from the bound that are played then: so many of the best. */
const MOST_PLAYED = 6;
/** No schedule gains so much over what the dynamic programme takes a pipeline for. */
const MOST_GAINED = 1.25;

/**
 * The best plans found, the one to take first (`inOrder`), the others by their time.
 *
 * Two searches, each exact over what it considers; and what they consider depends on the model, the batch and who the
 * devices are, never on speeds, memory or links. Every cost falls with those, so the least of all does: more memory or a
 * faster device or link never makes the fastest plan slower.
 *
 * 1. All replications of one stage and all 1F1B pipelines, by dynamic programming on an estimate of the simulated
 *    time (`bestChain`): any number of devices.
 * 2. All schedules by the simulator itself, up to five devices (`bestCuts`), on units merged until few enough are left.
 *
 * On more than five devices the best pipelines of the first search are then played under all schedules, or the forced one
 * (`rescheduled`), and have the seconds that the simulator says. There the promise is of the estimate by which they were
 * found (`estimated`), which is a tenth off at most; and it does not hold where a schedule is forced that is not 1F1B.
 * Nor does it where the time limit cuts a search short. Time grows as `bestChain` does, times the counts of micro-batches
 * (at most 10): 1,024 devices that are all different take 15 s of a core, 64 take 2 s (bench/planner.ts), so that a limit
 * of 30 s does not cut.
 * @param any ends with the first plan found, whatever it takes
 */
export function search(request: PlanRequest, any = false): readonly Candidate[] {
  const { devices, parallelism: forced = {} } = request;
  const found = estimated(request, any);
  const { schedule = '1f1b' } = forced;
  if (devices.length <= ALL_ORDERS || schedule !== '1f1b') return inOrder(found);
  const played = found
    .filter(({ kind }) => kind !== 'data-parallel')
    .sort((a, b) => a.seconds - b.seconds)
    .slice(0, MOST_PLAYED)
    .flatMap((chain) =>
      (forced.schedule ? [forced.schedule] : SCHEDULE_KINDS).flatMap((kind) => {
        const again = rescheduled(chain, kind, stagesPerRankOf(kind, forced), optionsOf(forced));
        return again ? [again] : [];
      }),
    );
  return inOrder([...found.filter(({ kind }) => kind === 'data-parallel'), ...played]);
}

/** What is found before pipelines on more than five devices are played: the best of each name and micro-batches. */
export function estimated(request: PlanRequest, any = false): readonly Candidate[] {
  const { parallelism: forced = {}, timeLimitSeconds = Infinity, now = () => 0 } = request;
  const end = now() + timeLimitSeconds;
  const found = new Map<string, Candidate>();
  let least = Infinity;
  const spent = (one = found.size > 0) => now() >= end || (any && one);
  const fastest = () => least;
  const offer = (candidate: Candidate) => {
    const key = `${nameOf(candidate)} ${candidate.slicing.microBatches}`;
    least = Math.min(least, candidate.seconds);
    if (candidate.seconds < (found.get(key)?.seconds ?? Infinity)) found.set(key, candidate);
  };
  const grains = new Grains(request);
  const chains = grains.forChains();
  const limits = rankLimits(request);
  const slicings = slicingsOf(request);
  for (const slicing of slicings) {
    if (limits.least > 1) break;
    for (const candidate of oneStage(request, chains, slicing)) offer(candidate);
  }
  for (const slicing of slicings) {
    if (spent()) break;
    for (const chain of pipelines(request, chains, slicing, { ...limits, fastest, spent })) offer(chain);
  }
  for (const grain of longGrains(request, grains)) {
    const most = Math.min(LONGEST, grain.model.layers.units.length);
    const long = { least: Math.max(2, limits.least), most };
    for (const slicing of slicings) {
      if (spent() || slicing.microBatches === 1) continue;
      for (const chain of pipelines(request, grain, slicing, { ...long, fastest, spent })) offer(chain);
    }
  }
  const onlyFits = any && (forced.schedule ?? '1f1b') === '1f1b';
  if (chains.family.complete && !onlyFits) {
    for (const candidate of simulated(request, grains, { ...limits, slicings, spent, fastest })) {
      offer(candidate);
    }
  }
  return [...found.values()];
}

function stagesPerRankOf(kind: ScheduleKind, { stagesPerRank = INTERLEAVED_STAGES }: Forced): number {
  return kind === 'interleaved' ? stagesPerRank : 1;
}

/** Where blocks of devices are all replicas of a stage: pipelines whose stages have fewer replicas, so that more fits. */
function* longGrains({ devices, parallelism = {} }: PlanRequest, grains: Grains): Generator<Grain> {
  if (devices.length <= MOST_BLOCKS || parallelism.data !== undefined || parallelism.pipeline !== undefined)
    return;
  const fewest = 2 ** Math.ceil(Math.log2(Math.max(1, devices.length / LONGEST)));
  for (let replicas = fewest; 4 * replicas <= devices.length; replicas *= 4) yield grains.forRuns(replicas);
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
  const { microBatches, schedule, pipeline = 1 } = parallelism;
  // an interleaved schedule passes micro-batches in groups of as many as there are ranks
  const group = schedule === 'interleaved' ? pipeline : 1;
  const counts =
    microBatches === undefined
      ? microBatchCounts(Math.floor(batch / group)).map((count) => count * group)
      : [microBatches];
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

function optionsOf({ recompute, shares, data }: Forced): StageOptions {
  return { recompute, shares, counted: data !== undefined };
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
    const group = model.groups.of(-1, set, forced.shares !== undefined);
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
  readonly fastest: () => Seconds;
  readonly spent: (found?: boolean) => boolean;
}

/** Pipelines by dynamic programming; on more than five devices also of another schedule that is forced. */
function* pipelines(
  request: PlanRequest,
  grain: Grain,
  slicing: Slicing,
  { least, most, fastest, spent }: Wanted,
): Generator<Candidate> {
  const { parallelism: forced = {} } = request;
  const { schedule = '1f1b' } = forced;
  const options = optionsOf(forced);
  const { model, family } = grain;
  const { microBatches } = slicing;
  const common = { ...grain, slicing, stagesPerRank: 1 };
  if (schedule === '1f1b') {
    const inFlight = (fromEnd: number) => Math.min(microBatches, fromEnd);
    const limits = { least, most, inFlight, joined: true, below: fastest(), spent };
    const chain = bestChain({ model, family, slicing, options, ...limits });
    if (!chain) return;
    yield { ...common, ...chain, kind: chain.choices.length === 1 ? 'data-parallel' : schedule };
    return;
  }
  if (family.complete) return;
  for (let ranks = Math.max(2, least); ranks <= most; ranks++) {
    if (spent()) return;
    const stagesPerRank = stagesPerRankOf(schedule, forced);
    const table = timetable(schedule, ranks, stagesPerRank, microBatches);
    if (!table) continue;
    // of the several stages of a rank each holds a part of what one of all their units would
    const inFlight = (fromEnd: number) => {
      const held = table.inFlight.filter((_, stage) => stage % ranks === ranks - fromEnd);
      return Math.ceil(held.reduce((sum, count) => sum + count, 0) / stagesPerRank);
    };
    const below = MOST_GAINED * fastest();
    const limits = { least: ranks, most: ranks, inFlight, joined: table.joined, below, spent };
    const chain = bestChain({ model, family, slicing, options, ...limits });
    const again =
      chain && rescheduled({ ...common, ...chain, kind: '1f1b' }, schedule, stagesPerRank, options);
    if (again) yield again;
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
      const stagesPerRank = stagesPerRankOf(kind, forced);
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
