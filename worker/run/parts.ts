import { batchSizes, sharesOf, splitBatch, type Share } from '../../data/index.js';
import type { RunPlan } from '../../protocol/index.js';

type Ranks = Pick<RunPlan, 'ranks'>;

/** Samples that a rank has of a full batch: its weight in all that is averaged over ranks. */
export function shareOf({ ranks }: Ranks, rank: number): number {
  return ranks[rank]!.samples.reduce((sum, samples) => sum + samples, 0);
}

/** The ranks of one pipeline rank, in order: replicas of each other. */
export function replicasOf({ ranks }: Ranks, pipelineRank: number): readonly number[] {
  return ranks.flatMap((rank, i) => (rank.pipelineRank === pipelineRank ? [i] : []));
}

/** How many pipeline ranks a plan has. */
export function pipelineRanksOf({ ranks }: Ranks): number {
  return 1 + Math.max(...ranks.map(({ pipelineRank }) => pipelineRank));
}

/**
 * Who has which samples of a batch: for each micro-batch, the range of the batch that each replica takes. Every
 * pipeline rank covers the batch; a short batch is split in proportion to a full one, and may leave a micro-batch or a
 * replica without a sample. O(replicas x micro-batches).
 * @param count samples of the batch
 * @returns by micro-batch, then by replica, in the order of `replicasOf`
 */
export function partsOf(plan: Ranks, pipelineRank: number, count: number): readonly (readonly Share[])[] {
  const replicas = replicasOf(plan, pipelineRank).map((rank) => plan.ranks[rank]!.samples);
  const microBatches = replicas[0]!.map((_, m) => replicas.reduce((sum, samples) => sum + samples[m]!, 0));
  return sharesOf(splitBatch(count, microBatches)).map(({ start, end }, m) => {
    if (start === end) return replicas.map(() => ({ start, end }));
    const shares = sharesOf(
      splitBatch(
        end - start,
        replicas.map((samples) => samples[m]!),
      ),
    );
    return shares.map((share) => ({ start: start + share.start, end: start + share.end }));
  });
}

/** The fewest samples that any rank ever has of a micro-batch, if it has any. */
export function leastPart(plan: Ranks & Pick<RunPlan, 'batch' | 'totalSteps'>, rows: number): number {
  const pipelineRanks = Array.from({ length: pipelineRanksOf(plan) }, (_, pipelineRank) => pipelineRank);
  const counts = batchSizes(rows, plan.batch, plan.totalSteps).flatMap((size) =>
    pipelineRanks.flatMap((each) =>
      partsOf(plan, each, size)
        .flat()
        .map(({ start, end }) => end - start),
    ),
  );
  return Math.min(...counts.filter((count) => count > 0));
}

/** How many different numbers of samples a rank has of the micro-batches of one batch, at most. */
export function mostSizes(
  plan: Ranks & Pick<RunPlan, 'batch' | 'totalSteps'>,
  rank: number,
  rows: number,
): number {
  const { pipelineRank } = plan.ranks[rank]!;
  const replica = replicasOf(plan, pipelineRank).indexOf(rank);
  const sizes = batchSizes(rows, plan.batch, plan.totalSteps).map((count) => {
    const own = partsOf(plan, pipelineRank, count).map((parts) => parts[replica]!);
    return new Set(own.map(({ start, end }) => end - start)).size;
  });
  return Math.max(...sizes);
}
