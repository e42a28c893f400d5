import { unitsOf, type Graph, type LossGraphOptions } from '../../../graph/index.js';
import type { RunPlan } from '../../../protocol/index.js';
import { splitShares } from '../../../scheduler/index.js';
import { microBatchSizes } from '../../../scheduler/planner/slicing.js';

/** How a test has a model trained. */
export interface Layout {
  /** Shares of the replicas of each pipeline rank. */
  readonly replicas: readonly (readonly number[])[];
  readonly kind: RunPlan['pipeline']['kind'];
  readonly microBatches: number;
  readonly stagesPerRank?: number;
  readonly recompute?: boolean;
  readonly shardOptimizer?: boolean;
}

/** Names of a model's nodes in so many stages of about as many units each. */
export function stagesOf(graph: Graph, options: LossGraphOptions, count: number): string[][] {
  const units = unitsOf(graph, options);
  return Array.from({ length: count }, (_, stage) => {
    const at = (boundary: number) => Math.round((boundary * units.length) / count);
    return units.slice(at(stage), at(stage + 1)).flat();
  });
}

/** A plan with these stages and replicas in place of the one stage that it has. */
export function pipelined(plan: RunPlan, layout: Layout, stages: readonly (readonly string[])[]): RunPlan {
  const {
    replicas,
    kind,
    microBatches,
    stagesPerRank = 1,
    recompute = false,
    shardOptimizer = true,
  } = layout;
  const sizes = microBatchSizes(plan.batch, microBatches);
  return {
    ...plan,
    pipeline: {
      kind,
      microBatches,
      stagesPerRank,
      shardOptimizer,
      stages: stages.map((nodes) => ({ nodes: [...nodes], recompute })),
    },
    ranks: replicas.flatMap((weights, pipelineRank) => {
      const shares = sizes.map((size) =>
        splitShares(
          size,
          weights,
          weights.map(() => Infinity),
        )!,
      );
      return weights.map((_, i) => ({
        device: `p${pipelineRank}r${i}`,
        host: 'test',
        pipelineRank,
        samples: shares.map((share) => share[i]!),
        budgetBytes: 1e9,
        accountedBytes: 1e9,
      }));
    }),
  };
}
