import { Type, type Static, type TSchema } from '@sinclair/typebox';

/** A reference to a file: a path in a job file, a content hash once uploaded. Whoever opens it resolves it. */
const File = Type.String({ minLength: 1, description: 'a file: a path relative to the job file' });

const Rows = Type.Tuple([Type.Integer({ minimum: 0 }), Type.Integer({ minimum: 1 })], {
  description: 'half-open range of samples, counted from 0: [0, 9000] takes the first 9000',
});

const Numbers = (description: string) =>
  Type.Union([Type.Number(), Type.Array(Type.Number(), { minItems: 1 })], { description });

const Normalize = Type.Object(
  {
    mean: Numbers('subtracted; one number, or one for each index of the first axis of a sample'),
    std: Numbers('divided by; one number, or one for each index of the first axis of a sample'),
  },
  { additionalProperties: false, description: '(x * scale - mean) / std' },
);

const Scale = Type.Number({
  exclusiveMinimum: 0,
  description:
    'multiplies the raw values before normalize; 1/255 for the unsigned bytes of idx images, else 1',
});

const InputFiles = (description: string) =>
  Type.Record(Type.String({ minLength: 1 }), Type.String({ minLength: 1 }), {
    minProperties: 1,
    description,
  });

const Column = Type.Union([Type.String({ minLength: 1 }), Type.Integer()], {
  description: 'a column by its name or its index; -1 is the last',
});

export const IdxSchema = Type.Object(
  {
    format: Type.Literal('idx'),
    features: File,
    labels: File,
    scale: Type.Optional(Scale),
    normalize: Type.Optional(Normalize),
    rows: Type.Optional(Rows),
  },
  { additionalProperties: false },
);

export const CsvSchema = Type.Object(
  {
    format: Type.Literal('csv'),
    path: File,
    target: Type.Union([Column, Type.Array(Column, { minItems: 1 })]),
    columns: Type.Optional(
      Type.Array(Column, {
        minItems: 1,
        description: 'feature columns, in this order; default: all but the target',
      }),
    ),
    header: Type.Optional(
      Type.Union([Type.Literal('auto'), Type.Boolean()], {
        description: 'auto: the first row is a header when none of its cells is a number',
      }),
    ),
    delimiter: Type.Optional(Type.String({ minLength: 1, maxLength: 1, description: 'default: a comma' })),
    categories: Type.Optional(
      Type.Array(Column, { minItems: 1, description: 'textual feature columns, each encoded one-hot' }),
    ),
    classes: Type.Optional(
      Type.Array(Type.String(), {
        minItems: 2,
        uniqueItems: true,
        description: 'textual classes in the order of their ids',
      }),
    ),
    normalize: Type.Optional(
      Type.Union([Normalize, Type.Literal('standard')], {
        description:
          'standard: each numeric column to mean 0 and standard deviation 1, measured on the training rows',
      }),
    ),
    rows: Type.Optional(Rows),
  },
  { additionalProperties: false },
);

export const NpySchema = Type.Object(
  {
    format: Type.Literal('npy'),
    features: Type.Optional(File),
    inputs: Type.Optional(InputFiles('for a model of several inputs: a file for each input by name')),
    target: File,
    scale: Type.Optional(Scale),
    normalize: Type.Optional(Normalize),
    rows: Type.Optional(Rows),
  },
  { additionalProperties: false },
);

export const NpzSchema = Type.Object(
  {
    format: Type.Literal('npz'),
    path: File,
    features: Type.Optional(
      Type.String({ minLength: 1, description: 'the key of the features in the archive' }),
    ),
    inputs: Type.Optional(InputFiles('for a model of several inputs: a key for each input by name')),
    target: Type.String({ minLength: 1, description: 'the key of the target in the archive' }),
    scale: Type.Optional(Scale),
    normalize: Type.Optional(Normalize),
    rows: Type.Optional(Rows),
  },
  { additionalProperties: false },
);

export const TextSchema = Type.Object(
  {
    format: Type.Literal('text'),
    path: Type.Optional(File),
    files: Type.Optional(
      Type.Array(File, { minItems: 1, description: 'several files, read one after the other' }),
    ),
    tokens: Type.Union([Type.Literal('char'), Type.Literal('byte')]),
    context: Type.Integer({ minimum: 1, description: 'tokens in a sample' }),
    stride: Type.Optional(
      Type.Integer({
        minimum: 1,
        description: 'tokens from the start of a sample to that of the next; default: context',
      }),
    ),
    rows: Type.Optional(Rows),
  },
  { additionalProperties: false },
);

/** The schema of each format, so that a validator can answer about the one that `format` names. */
export const datasetSchemas = {
  idx: IdxSchema,
  csv: CsvSchema,
  npy: NpySchema,
  npz: NpzSchema,
  text: TextSchema,
} as const satisfies Record<string, TSchema>;

/** A dataset as it stands in a job file, told apart by `format`. */
export const DatasetSchema = Type.Union([IdxSchema, CsvSchema, NpySchema, NpzSchema, TextSchema]);

export type IdxSpec = Static<typeof IdxSchema>;
export type CsvSpec = Static<typeof CsvSchema>;
export type NpySpec = Static<typeof NpySchema>;
export type NpzSpec = Static<typeof NpzSchema>;
export type TextSpec = Static<typeof TextSchema>;
export type DatasetSpec = Static<typeof DatasetSchema>;
export type ColumnRef = Static<typeof Column>;
export type NormalizeSpec = Static<typeof Normalize>;
