import { Type, type Static } from '@sinclair/typebox';
import { PatternsSchema, patternsIn } from './pattern.js';

const file = Type.String({ minLength: 1, description: 'a safetensors file to start from' });

/** `weights` of a job file: the values that training starts from instead of the model's own. */
export const WeightsSchema = Type.Union(
  [
    file,
    Type.Object(
      {
        file,
        rename: Type.Optional(
          Type.Record(Type.String(), Type.String(), {
            description: 'how names of the file begin, and how those of the model do instead',
          }),
        ),
        skip: Type.Optional(PatternsSchema),
        allowMissing: Type.Optional(
          Type.Boolean({ description: 'parameters that the file lacks keep the values of the model' }),
        ),
        allowUnexpected: Type.Optional(
          Type.Boolean({ description: 'tensors of the file that the model lacks are left out' }),
        ),
      },
      { additionalProperties: false },
    ),
  ],
  { description: 'a safetensors file, or { file, rename, skip, allowMissing, allowUnexpected }' },
);
export type WeightsField = Static<typeof WeightsSchema>;

/** `weights` with every default filled in. */
export const WeightsRulesSchema = Type.Object(
  {
    file: Type.String(),
    /** Beginnings of names in the file to those of the model; the longest that fits, once. */
    rename: Type.Array(Type.Tuple([Type.String(), Type.String()])),
    /** Patterns of names of the model: they keep their values, and the file's are left out. */
    skip: Type.Array(Type.String()),
    allowMissing: Type.Boolean(),
    allowUnexpected: Type.Boolean(),
  },
  { additionalProperties: false },
);
export type WeightsRules = Static<typeof WeightsRulesSchema>;

export function weightsRules(field: WeightsField): WeightsRules {
  const { file, rename = {}, skip = [], ...allow } = typeof field === 'string' ? { file: field } : field;
  return {
    file,
    rename: Object.entries(rename),
    skip: [...patternsIn(skip)],
    allowMissing: allow.allowMissing ?? false,
    allowUnexpected: allow.allowUnexpected ?? false,
  };
}

/** Where the job file names the weights file. */
export function weightsPlace(field: WeightsField): 'weights' | 'weights.file' {
  return typeof field === 'string' ? 'weights' : 'weights.file';
}

/** The field with another file in it: a path becomes `sha256:HEX`. */
export function withWeightsFile(field: WeightsField, file: string): WeightsField {
  return typeof field === 'string' ? file : { ...field, file };
}
