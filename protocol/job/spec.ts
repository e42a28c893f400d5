import { Type, type Static } from '@sinclair/typebox';
import { DatasetSchema } from '../../data/index.js';
import { validatorOf } from '../validation.js';
import { OptimizerSchema, ScheduleSchema } from './optimizer.js';
import { ParallelismSchema } from './parallelism.js';
import { PatternsSchema } from './pattern.js';
import { WeightsSchema } from './weights.js';

const strict = { additionalProperties: false } as const;
const count = (description: string) => Type.Integer({ minimum: 1, description });

export const LossSchema = Type.Union(
  [
    Type.Literal('cross_entropy'),
    Type.Literal('mse'),
    Type.Literal('l1'),
    Type.Literal('huber'),
    Type.Literal('binary_cross_entropy_with_logits'),
  ],
  { description: 'cross_entropy, mse, l1, huber or binary_cross_entropy_with_logits' },
);

export const WireSchema = Type.Union(
  [Type.Literal('float32'), Type.Literal('float16'), Type.Literal('bfloat16')],
  {
    description: 'element type of gradients between hosts: float32, float16 or bfloat16',
  },
);

export const FallbackSchema = Type.Union([Type.Literal('report'), Type.Literal('forbid')], {
  description:
    "nodes that a device cannot run: report has them run on its host's CPU (default), forbid fails the job",
});

export const BatchNormalizationSchema = Type.Union(
  [Type.Literal('exported'), Type.Literal('train'), Type.Literal('freeze')],
  {
    description:
      'exported (each as the exporter wrote it), train (all take their statistics from the batch) or freeze (none does)',
  },
);

/**
 * A job file. The fields that name files (`model`, `weights`, those of `data`) hold paths relative to the job file on the
 * command line, and `sha256:HEX` once they are uploaded: that form is what REST takes.
 */
export const JobSpecSchema = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 200, pattern: '^[^\\u0000-\\u001f]+$' }),
    model: Type.String({
      minLength: 1,
      description: 'an ONNX file, or a TypeScript/JavaScript module exporting a model',
    }),
    operators: Type.Optional(
      Type.String({
        minLength: 1,
        description:
          'a TypeScript/JavaScript module exporting the operators that an ONNX file uses of other domains; only on the ' +
          'command line, which writes them into the model',
      }),
    ),
    weights: Type.Optional(WeightsSchema),
    frozen: Type.Optional(PatternsSchema),
    data: Type.Object({ train: DatasetSchema, validation: Type.Optional(DatasetSchema) }, strict),
    loss: LossSchema,
    lossOutput: Type.Optional(
      Type.String({
        minLength: 1,
        description: 'which output of the model the loss compares; default: the first',
      }),
    ),
    optimizer: OptimizerSchema,
    schedule: Type.Optional(ScheduleSchema),
    batch: count('samples of a step, over all devices'),
    epochs: Type.Optional(count('passes over the training data')),
    steps: Type.Optional(count('optimizer steps, instead of epochs')),
    seed: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 ** 32 - 1, description: 'default 0' })),
    clipNorm: Type.Optional(
      Type.Number({ exclusiveMinimum: 0, description: 'largest global norm of the gradient' }),
    ),
    batchNormalization: Type.Optional(BatchNormalizationSchema),
    parallelism: Type.Optional(ParallelismSchema),
    checkpoint: Type.Optional(
      Type.Object({ everySteps: count('write the weights each so many steps') }, strict),
    ),
    communication: Type.Optional(
      Type.Object(
        {
          wire: Type.Optional(WireSchema),
          bucketBytes: Type.Optional(
            Type.Integer({
              minimum: 1024,
              description: 'gradients travel in buckets of about so many bytes',
            }),
          ),
        },
        strict,
      ),
    ),
    logEverySteps: Type.Optional(count('steps between rows of metrics.jsonl; default 1')),
    validateEverySteps: Type.Optional(count('default: at the end of each epoch')),
    fallback: Type.Optional(FallbackSchema),
    profile: Type.Optional(
      Type.Boolean({
        description:
          'time the model on the devices before it is planned; default: where the job may take more than 20 s',
      }),
    ),
    output: Type.Optional(Type.String({ minLength: 1, description: 'folder for the results' })),
  },
  { ...strict, $id: 'JobSpec' },
);
export type JobSpec = Static<typeof JobSpecSchema>;

/** @throws ValidationError naming each field that does not fit */
export const validateJobSpec = validatorOf(JobSpecSchema);

/** What `POST /v1/jobs` takes: the job file, and proof that the submitter may write the output folder. */
export const SubmissionSchema = Type.Object(
  {
    job: JobSpecSchema,
    /** A file that the submitter wrote into the absolute `directory`, holding `token`: see docs/outputs.md. */
    outputClaim: Type.Optional(Type.Object({ directory: Type.String(), token: Type.String() }, strict)),
  },
  strict,
);
export type Submission = Static<typeof SubmissionSchema>;

const REFERENCE = /^sha256:([0-9a-f]{64})$/;

/** The hash in `sha256:HEX`, or undefined for anything else. */
export function artifactOf(field: string): string | undefined {
  return REFERENCE.exec(field)?.[1];
}

export function referenceTo(sha256: string): string {
  return `sha256:${sha256}`;
}
