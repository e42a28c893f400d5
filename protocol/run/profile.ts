import { Type, type Static } from '@sinclair/typebox';
import { Packr } from 'msgpackr';
import { BatchNormalizationSchema, LossSchema } from '../job/spec.js';
import { ValidationError, validatorOf } from '../validation.js';

const strict = { additionalProperties: false } as const;
const natural = Type.Integer({ minimum: 0 });
const positive = Type.Integer({ minimum: 1 });
const shape = Type.Array(natural);

/** What a device is asked to time: a job's model in parts, and as one program. */
export const ProfileTaskSchema = Type.Object(
  {
    /** SHA-256 of the model artifact. */
    model: Type.String(),
    /** Patterns of parameters that keep their values. */
    frozen: Type.Array(Type.String()),
    loss: LossSchema,
    lossOutput: Type.Union([Type.String(), Type.Null()]),
    batchNormalization: BatchNormalizationSchema,
    /** Shapes of one sample, by input of the model; and of its target. */
    inputs: Type.Array(Type.Object({ name: Type.String(), shape }, strict)),
    target: shape,
    /** Parts of the model as stages would have them: names of nodes, every node in exactly one. */
    parts: Type.Array(Type.Array(Type.String()), { minItems: 1 }),
    /** Samples that the parts compute. */
    samples: positive,
    /** Samples that the whole step computes in one go; 0: it is not timed. */
    wholeSamples: natural,
    bucketBytes: positive,
    /** Nothing is begun after so many seconds. */
    seconds: Type.Number({ exclusiveMinimum: 0 }),
  },
  strict,
);
export type ProfileTask = Static<typeof ProfileTaskSchema>;

const duration = Type.Number({ minimum: 0 });

/** What was timed, in seconds. */
export const ModelProfileSchema = Type.Object(
  {
    /** Those that there was time for, by number. */
    parts: Type.Array(
      Type.Object(
        { part: natural, forward: duration, backwardInput: duration, backwardWeight: duration },
        strict,
      ),
    ),
    /** Forward and backward of the whole model as a plan of one stage runs them; null: not timed. */
    whole: Type.Union([duration, Type.Null()]),
  },
  strict,
);
export type ModelProfile = Static<typeof ModelProfileSchema>;

// useRecords: false: msgpackr's record reader would compile code from what it reads
const packr = new Packr({ useRecords: false, mapsAsObjects: true, int64AsType: 'number' });
const validateTask = validatorOf(ProfileTaskSchema);
const validateProfile = validatorOf(ModelProfileSchema);

export function encodeProfileTask(task: ProfileTask): Uint8Array {
  return packr.pack(task);
}

/** @throws ValidationError */
export function decodeProfileTask(bytes: Uint8Array): ProfileTask {
  return validateTask(unpack(bytes, 'profile task'), 'profile task');
}

export function encodeModelProfile(profile: ModelProfile): Uint8Array {
  return packr.pack(profile);
}

/** @throws ValidationError */
export function decodeModelProfile(bytes: Uint8Array): ModelProfile {
  return validateProfile(unpack(bytes, 'model profile'), 'model profile');
}

function unpack(bytes: Uint8Array, what: string): unknown {
  try {
    return packr.unpack(bytes);
  } catch (error) {
    const problem = `not msgpack: ${error instanceof Error ? error.message : String(error)}`;
    throw new ValidationError(what, [{ field: '', problem }]);
  }
}
