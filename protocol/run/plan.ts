import { Type, type Static } from '@sinclair/typebox';
import { Packr } from 'msgpackr';
import { DatasetSchema } from '../../data/index.js';
import { SCHEDULE_KINDS } from '../../scheduler/index.js';
import { OptimizerSchema, ScheduleSchema } from '../job/optimizer.js';
import { BatchNormalizationSchema, FallbackSchema, LossSchema, WireSchema } from '../job/spec.js';
import { WeightsRulesSchema } from '../job/weights.js';
import { ValidationError, validatorOf } from '../validation.js';

const strict = { additionalProperties: false } as const;
const natural = Type.Integer({ minimum: 0 });
const positive = Type.Integer({ minimum: 1 });

/** One rank of a run: the device and its part of each batch. */
export const RankSchema = Type.Object(
  {
    device: Type.String(),
    host: Type.String(),
    /** Which part of the pipeline it holds, from 0; ranks of one number are replicas of each other. */
    pipelineRank: natural,
    /**
     * Its samples of each micro-batch of a full batch; a shorter batch is split in proportion. A pipeline rank's
     * replicas have the samples of a micro-batch between them, in the order of their ranks.
     */
    samples: Type.Array(natural, { minItems: 1 }),
    budgetBytes: Type.Number({ minimum: 0 }),
    /** What the planner expects the executor to hold: it becomes the arena's and the report's account. */
    accountedBytes: Type.Number({ minimum: 0 }),
    /** Whether that counts the optimizer's state on the device: the update may run there. */
    updateOnDevice: Type.Optional(Type.Boolean()),
  },
  strict,
);

/** A part of the model, held by the replicas of one pipeline rank. */
export const StageSchema = Type.Object(
  {
    /** Names of the model's nodes; every node of the model is in exactly one stage. */
    nodes: Type.Array(Type.String()),
    /** Whether its backward pass computes the forward pass again in place of keeping what that left. */
    recompute: Type.Boolean(),
  },
  strict,
);

/** Who computes what, in which order. */
export const PipelineSchema = Type.Object(
  {
    kind: Type.Union([Type.Literal('data-parallel'), ...SCHEDULE_KINDS.map((kind) => Type.Literal(kind))]),
    /** Micro-batches of a step. */
    microBatches: positive,
    /** Stages on each pipeline rank: pipeline rank p holds the stages s with s mod (pipeline ranks) = p. */
    stagesPerRank: positive,
    /** Whether replicas share the optimizer's state and work (ZeRO-1); else each has all of it. */
    shardOptimizer: Type.Boolean(),
    stages: Type.Array(StageSchema, { minItems: 1 }),
  },
  strict,
);

/**
 * All that a rank needs to train: the same for every rank of a membership epoch, only `rank` in Launch differs.
 * Data sets name their files as `sha256:HEX`; a rank fetches them from the coordinator.
 */
export const RunPlanSchema = Type.Object(
  {
    jobId: Type.String(),
    name: Type.String(),
    /** Membership epoch: messages of an older one are refused. */
    epoch: positive,
    model: Type.Object({ sha256: Type.String(), file: Type.String() }, strict),
    /** What training starts from instead of the model's own values; `file` is `sha256:HEX`. */
    weights: Type.Union([WeightsRulesSchema, Type.Null()]),
    /** Patterns of parameters that keep their values. */
    frozen: Type.Array(Type.String()),
    data: Type.Object({ train: DatasetSchema, validation: Type.Union([DatasetSchema, Type.Null()]) }, strict),
    loss: LossSchema,
    /** Which output of the model the loss compares; null: the first. */
    lossOutput: Type.Union([Type.String(), Type.Null()]),
    batchNormalization: BatchNormalizationSchema,
    optimizer: OptimizerSchema,
    schedule: ScheduleSchema,
    batch: positive,
    totalSteps: positive,
    stepsPerEpoch: positive,
    seed: natural,
    clipNorm: Type.Union([Type.Number({ exclusiveMinimum: 0 }), Type.Null()]),
    fallback: FallbackSchema,
    wire: WireSchema,
    bucketBytes: positive,
    logEverySteps: positive,
    /** 0: never. */
    validateEverySteps: natural,
    /** 0: never. */
    checkpointEverySteps: natural,
    /** A collective that gets nowhere for so long is aborted. */
    collectiveDeadlineSeconds: Type.Number({ exclusiveMinimum: 0 }),
    pipeline: PipelineSchema,
    /** By pipeline rank, then by replica. */
    ranks: Type.Array(RankSchema, { minItems: 1 }),
  },
  strict,
);
export type RunPlan = Static<typeof RunPlanSchema>;

// useRecords: false: msgpackr's record reader would compile code from what it reads
const packr = new Packr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });
const validate = validatorOf(RunPlanSchema);

export function encodeRunPlan(plan: RunPlan): Uint8Array {
  return packr.pack(plan);
}

/** @throws ValidationError when the bytes decode to anything but a run plan */
export function decodeRunPlan(bytes: Uint8Array): RunPlan {
  let decoded: unknown;
  try {
    decoded = packr.unpack(bytes);
  } catch (error) {
    const problem = `not msgpack: ${error instanceof Error ? error.message : String(error)}`;
    throw new ValidationError('run plan', [{ field: '', problem }]);
  }
  return validate(decoded, 'run plan');
}
