import { Type, type Static } from '@sinclair/typebox';
import { Packr } from 'msgpackr';
import { DatasetSchema } from '../../data/index.js';
import { OptimizerSchema, ScheduleSchema } from '../job/optimizer.js';
import { BatchNormalizationSchema, LossSchema, WireSchema } from '../job/spec.js';
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
    /** Its weight when a batch is split; the samples of a full batch. */
    share: positive,
    budgetBytes: Type.Number({ minimum: 0 }),
    /** What the planner expects the executor to hold: it becomes the arena's and the report's account. */
    accountedBytes: Type.Number({ minimum: 0 }),
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
    wire: WireSchema,
    bucketBytes: positive,
    logEverySteps: positive,
    /** 0: never. */
    validateEverySteps: natural,
    /** 0: never. */
    checkpointEverySteps: natural,
    /** A collective that gets nowhere for so long is aborted. */
    collectiveDeadlineSeconds: Type.Number({ exclusiveMinimum: 0 }),
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
