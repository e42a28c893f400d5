import { Type, type Static } from '@sinclair/typebox';
import type { ErrorReport } from '../../base/index.js';
import { SCHEDULE_KINDS, type Forced, type ScheduleKind } from '../../scheduler/index.js';

const strict = { additionalProperties: false } as const;
const count = (description: string) => Type.Integer({ minimum: 1, description });

export const ParallelismSchema = Type.Union(
  [
    Type.Literal('auto'),
    Type.Object(
      {
        data: Type.Optional(count('replicas of every stage: devices that share its samples')),
        pipeline: Type.Optional(count('pipeline ranks: devices, or groups of replicas, one after the other')),
        microBatches: Type.Optional(count('parts of a batch that are computed one after the other')),
        schedule: Type.Optional(
          // no union of literals: those tell branches apart, and this one is no other kind of parallelism
          Type.Unsafe<ScheduleKind>({
            type: 'string',
            enum: [...SCHEDULE_KINDS],
            description: 'order of the forward and backward passes of a pipeline',
          }),
        ),
        stagesPerRank: Type.Optional(
          count('stages on each pipeline rank; more than 1 with interleaved only'),
        ),
        recompute: Type.Optional(
          Type.Boolean({
            description: 'compute activations again in the backward pass instead of keeping them',
          }),
        ),
        shardOptimizer: Type.Optional(
          Type.Boolean({ description: 'divide optimizer state over the replicas of a stage' }),
        ),
        shares: Type.Optional(
          Type.Array(Type.Number({ exclusiveMinimum: 0 }), {
            minItems: 1,
            description: 'relative shares of the replicas, one each, instead of measured speed',
          }),
        ),
      },
      strict,
    ),
  ],
  { description: 'auto, or a map such as { data: 2, pipeline: 2, microBatches: 8, schedule: 1f1b }' },
);
export type Parallelism = Static<typeof ParallelismSchema>;

/**
 * What a job leaves no choice about, as the planner takes it; the rest is searched. Shares without a number of replicas
 * are one for each, and only an interleaved schedule has several stages a rank.
 */
export function forcedBy(parallelism: Parallelism = 'auto'): Forced {
  if (parallelism === 'auto') return {};
  const { shares, stagesPerRank = 1 } = parallelism;
  return {
    ...(shares === undefined ? {} : { data: shares.length }),
    ...(stagesPerRank > 1 ? { schedule: 'interleaved' } : {}),
    ...parallelism,
  };
}

/** Whether planning failed only because the job asks for more devices than there were: waiting may help. */
export function asksForMore({ code, ids }: Pick<ErrorReport, 'code' | 'ids'>): boolean {
  const { wanted, joined } = ids;
  return (
    code === 'bad_placement' && typeof wanted === 'number' && typeof joined === 'number' && wanted > joined
  );
}
