import { Type, type Static } from '@sinclair/typebox';
import { JobRecordSchema } from '../job/state.js';

/** A page of `GET /v1/jobs`, newest first. */
export const JobPageSchema = Type.Object({
  jobs: Type.Array(JobRecordSchema),
  /** Give it back as `cursor` for the next page; null on the last. */
  cursor: Type.Union([Type.String(), Type.Null()]),
});
export type JobPage = Static<typeof JobPageSchema>;

const nullable = (description: string) => Type.Union([Type.Number(), Type.Null()], { description });

/** A row of `metrics.jsonl`. Fields that a row does not carry are absent. */
export const MetricRowSchema = Type.Object({
  step: Type.Integer({ description: 'optimizer steps done' }),
  epoch: Type.Number({ description: 'epochs of the data done, fractional' }),
  loss: Type.Optional(nullable('of the global batch; null when it is not finite')),
  learningRate: Type.Optional(Type.Number()),
  samplesPerSecond: Type.Optional(Type.Number()),
  gradientNorm: Type.Optional(nullable('before clipping; null when it is not finite')),
  seconds: Type.Optional(Type.Number({ description: 'since training began' })),
  validationLoss: Type.Optional(nullable('over the whole validation set')),
  validationAccuracy: Type.Optional(Type.Number()),
});
export type MetricRow = Static<typeof MetricRowSchema>;

export const MetricsSchema = Type.Object({ rows: Type.Array(MetricRowSchema) });

/** What a rank or the coordinator said about a job. */
export const JobLogRowSchema = Type.Object({
  at: Type.String({ description: 'ISO 8601' }),
  device: Type.Union([Type.String(), Type.Null()], { description: 'null: the coordinator' }),
  rank: Type.Union([Type.Integer(), Type.Null()]),
  level: Type.String(),
  message: Type.String(),
});
export type JobLogRow = Static<typeof JobLogRowSchema>;

export const JobLogSchema = Type.Object({ rows: Type.Array(JobLogRowSchema) });

export const OutputFilesSchema = Type.Object({
  files: Type.Array(
    Type.Object({
      path: Type.String({ description: 'relative to the output folder' }),
      bytes: Type.Integer(),
    }),
  ),
});
export type OutputFiles = Static<typeof OutputFilesSchema>;

/**
 * The server-sent events of `GET /v1/jobs/{id}/events`, by their `event` field: `job` carries a JobRecord whenever
 * it changed, `metric` a MetricRow, `log` a JobLogRow. After the `job` event of a terminal state the stream ends.
 * Each id is a position in all three; sent back as `Last-Event-ID` the stream goes on from there.
 */
export const JOB_STREAM_EVENTS = ['job', 'metric', 'log'] as const;
export type JobStreamEvent = (typeof JOB_STREAM_EVENTS)[number];
