import fc from 'fast-check';
import t from 'tap';
import { UserError } from '../../../base/index.js';
import type { Device } from '../../../scheduler/index.js';
import type { ScheduleKind } from '../../../scheduler/pipeline/index.js';
import { makePlan, type PlanRequest } from '../../../scheduler/planner/index.js';
import { play, timetable } from '../../../scheduler/planner/played.js';
import type { Group } from '../../../scheduler/planner/group.js';
import { StageModel, type Choice } from '../../../scheduler/planner/stage.js';
import { requests } from './planner-samples.js';

/** 200 take a minute of one core; a test run makes do with a part of them. */
const INSTANCES = Number(process.env['DTRAIN_PLANNER_INSTANCES'] ?? 40);
const KINDS: readonly ScheduleKind[] = ['gpipe', '1f1b', 'zero-bubble', 'interleaved'];

/** Every list of disjoint, non-empty groups of devices: who is the first rank, who the second, and so on. */
function orders(devices: readonly Device[]): readonly (readonly (readonly Device[])[])[] {
  const from = (left: readonly Device[]): (readonly Device[])[][] => {
    const all: (readonly Device[])[][] = [[]];
    for (let mask = 1; mask < 2 ** left.length; mask++) {
      const group = left.filter((_, i) => (mask >> i) & 1);
      const rest = left.filter((_, i) => !((mask >> i) & 1));
      for (const more of from(rest)) all.push([group, ...more]);
    }
    return all;
  };
  return from(devices).filter((order) => order.length > 0);
}

/** Every way to cut units into stages. */
function cuts(units: number, stages: number, from = 0): readonly (readonly [number, number])[][] {
  if (stages === 1) return [[[from, units]]];
  const all: (readonly [number, number])[][] = [];
  for (let to = from + 1; to <= units - stages + 1; to++) {
    for (const more of cuts(units, stages - 1, to)) all.push([[from, to], ...more]);
  }
  return all;
}

/**
 * Whether any plan at all takes less than `below`: all orders of all groups, all cuts, all schedules, all divisors of the
 * batch as numbers of micro-batches, recomputation or not on each rank, sharded state or not. Only plans in which
 * one rank's computing alone takes longer are not simulated.
 */
function anyBelow({ layers, job, topology, devices, batch }: PlanRequest, below: number): number | undefined {
  const model = new StageModel(layers, job, topology, devices);
  const counts = Array.from({ length: batch }, (_, i) => i + 1).filter((count) => batch % count === 0);
  let best: number | undefined;
  let index = 0;
  const groups = new Map<string, Group>();
  const groupOf = (members: readonly Device[]) => {
    const key = members.map(({ id }) => id).join();
    const known = groups.get(key) ?? model.groups.of(index++, members);
    groups.set(key, known);
    return known;
  };
  const all = orders(devices).map((order) => order.map(groupOf));
  const ways = new Map<string, readonly Choice[]>();
  for (const kind of KINDS) {
    for (const microBatches of counts) {
      for (const order of all) {
        const ranks = order.length;
        const stagesPerRank = kind === 'interleaved' ? 2 : 1;
        if (kind === 'interleaved' && (microBatches % ranks !== 0 || ranks === 1)) continue;
        const stages = ranks * stagesPerRank;
        if (stages > layers.units.length) continue;
        const { schedule, inFlight, joined } = timetable(kind, ranks, stagesPerRank, microBatches)!;
        for (const shardOptimizer of [true, false]) {
          const slicing = { microBatches, samples: batch / microBatches, shardOptimizer };
          for (const cut of cuts(layers.units.length, stages)) {
            const options = order.map((group, rank) => {
              const held = cut
                .map(([from, to], stage) => ({
                  from,
                  to,
                  inFlight: inFlight[stage]!,
                  split: kind === 'zero-bubble',
                  joined: joined && stage + 1 === stages,
                }))
                .filter((_, stage) => stage % ranks === rank);
              const key = [
                group.index,
                ranks === 1,
                microBatches,
                shardOptimizer,
                JSON.stringify(held),
              ].join();
              const known =
                ways.get(key) ??
                (ranks === 1 ? (['fused'] as const) : (['kept', 'recomputed'] as const)).flatMap(
                  (keeping) => {
                    const choice = model.evaluate(group, held, slicing, keeping);
                    return choice && microBatches * choice.seconds < below ? [choice] : [];
                  },
                );
              ways.set(key, known);
              return known;
            });
            if (options.some((each) => each.length === 0)) continue;
            for (const choices of product(options)) {
              const { seconds } = play(model, { schedule, slicing, choices });
              if (seconds < below) best = Math.min(best ?? Infinity, seconds);
            }
          }
        }
      }
    }
  }
  return best;
}

function product<T>(lists: readonly (readonly T[])[]): readonly (readonly T[])[] {
  return lists.reduce<readonly (readonly T[])[]>(
    (all, list) => all.flatMap((each) => list.map((item) => [...each, item])),
    [[]],
  );
}

t.setTimeout(600_000);

t.test(`at most 5 % worse than all plans there are, ${INSTANCES} instances`, { timeout: 600_000 }, (t) => {
  const ratios: number[] = [];
  fc.assert(
    fc.property(requests(11, 4), (request) => {
      let seconds: number;
      try {
        seconds = makePlan(request).predictedStepSeconds;
      } catch (error) {
        if (!(error instanceof UserError && error.code === 'budget_too_small')) throw error;
        const fits = anyBelow(request, Infinity);
        if (fits !== undefined) throw new RangeError(`refused, but a plan of ${fits} s fits`);
        return;
      }
      const best = anyBelow(request, seconds) ?? seconds;
      ratios.push(seconds / best);
      if (seconds > 1.05 * best) throw new RangeError(`planned ${seconds} s, there is one of ${best} s`);
    }),
    { numRuns: INSTANCES },
  );
  const mean = ratios.reduce((sum, ratio) => sum + ratio, 0) / ratios.length;
  t.comment(`planned over best: mean ${mean.toFixed(4)}, worst ${Math.max(...ratios).toFixed(4)}`);
  t.ok(ratios.length > INSTANCES / 4, `${ratios.length} of them have a plan`);
  t.end();
});
