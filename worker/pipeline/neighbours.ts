import type { RunPlan } from '../../protocol/index.js';
import { batchSizes, type Share } from '../../data/index.js';
import { partsOf, pipelineRanksOf, replicasOf } from '../run/parts.js';
import { hopsOf, routesOf, type Hop } from './routes.js';

/** A rank's part of a micro-batch, and whom it exchanges its samples with. */
export interface MicroBatchPart extends Share {
  readonly microBatch: number;
  /**
   * To the replicas of the stage before; every stage of a rank has the same ones before it and after it. None before
   * the first and after the last stage, where no rank has several.
   */
  readonly up: readonly Hop[];
  readonly down: readonly Hop[];
}

type Plan = Pick<RunPlan, 'ranks' | 'batch' | 'totalSteps'> & {
  readonly pipeline: Pick<RunPlan['pipeline'], 'stagesPerRank'>;
};

/**
 * A rank's parts of a batch, micro-batch by micro-batch; those in which it has no sample are left out.
 * O(replicas x micro-batches).
 * @param count samples of the batch
 */
export function partsWithHops(plan: Plan, rank: number, count: number): readonly MicroBatchPart[] {
  const ranks = pipelineRanksOf(plan);
  const { pipelineRank } = plan.ranks[rank]!;
  const neighbour = (offset: number) => (pipelineRank + offset + ranks) % ranks;
  const [before, own, after] = [neighbour(-1), pipelineRank, neighbour(1)];
  const [above, mine, below] = [before, own, after].map((each) => partsOf(plan, each, count)) as [
    ReturnType<typeof partsOf>,
    ReturnType<typeof partsOf>,
    ReturnType<typeof partsOf>,
  ];
  const replica = replicasOf(plan, own).indexOf(rank);
  const [producers, consumers] = [replicasOf(plan, before), replicasOf(plan, after)];
  // only where a rank has several stages does one on the last rank lead to one on the first
  const around = plan.pipeline.stagesPerRank > 1;
  const [hasBefore, hasAfter] = [around || own > 0, around || own < ranks - 1];
  return mine.flatMap((parts, microBatch): MicroBatchPart[] => {
    const part = parts[replica]!;
    if (part.start === part.end) return [];
    return [
      {
        ...part,
        microBatch,
        up: hasBefore
          ? hopsOf(routesOf(above[microBatch]!, parts), 'consumer', replica, part, producers)
          : [],
        down: hasAfter
          ? hopsOf(routesOf(parts, below[microBatch]!), 'producer', replica, part, consumers)
          : [],
      },
    ];
  });
}

/** The ranks that a rank ever exchanges samples with, in any batch of the run or of its validation. */
export function peersOf(
  plan: Plan,
  rank: number,
  rows: { readonly training: number; readonly validation: readonly number[] },
): { readonly up: ReadonlySet<number>; readonly down: ReadonlySet<number> } {
  const up = new Set<number>();
  const down = new Set<number>();
  const sizes = batchSizes(rows.training, plan.batch, plan.totalSteps);
  for (const count of new Set([...sizes, ...rows.validation])) {
    for (const part of partsWithHops(plan, rank, count)) {
      for (const { peer } of part.up) up.add(peer);
      for (const { peer } of part.down) down.add(peer);
    }
  }
  return { up, down };
}
