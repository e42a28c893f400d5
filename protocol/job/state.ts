import { Type, type Static } from '@sinclair/typebox';

export const JOB_STATES = [
  'queued',
  'planning',
  'starting',
  'running',
  'recovering',
  'succeeded',
  'failed',
  'cancelled',
] as const;

export const JobStateSchema = Type.Union(JOB_STATES.map((state) => Type.Literal(state)));
export type JobState = (typeof JOB_STATES)[number];

export function isTerminal(state: JobState): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled';
}

const nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) =>
  Type.Union([schema, Type.Null()]);

/** A plan's predictions beside what was measured once the job has succeeded; null before. */
export const PerformanceSchema = Type.Object({
  predictedStepSeconds: Type.Number(),
  measuredStepSeconds: nullable(Type.Number()),
  devices: Type.Array(
    Type.Object({
      device: Type.String(),
      stages: Type.Array(Type.Integer()),
      samplesPerStep: Type.Integer(),
      budgetBytes: Type.Number(),
      predictedPeakBytes: Type.Number(),
      measuredPeakBytes: nullable(Type.Number()),
      predictedBusySeconds: Type.Number(),
      measuredBusySeconds: nullable(Type.Number()),
      measuredStepSeconds: nullable(Type.Number()),
    }),
  ),
});
export type JobPerformance = Static<typeof PerformanceSchema>;

export const ReplannedSchema = Type.Object({
  at: Type.String(),
  device: Type.String(),
  budgetBytes: Type.Number(),
  measuredBytes: Type.Number(),
  /** What the plan had counted. */
  predictedBytes: Type.Number(),
  message: Type.String(),
});

/** A job as REST and `--json` show it. Times are ISO 8601; numbers that are not known yet are null. */
export const JobRecordSchema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  state: JobStateSchema,
  step: Type.Integer(),
  totalSteps: nullable(Type.Integer()),
  loss: nullable(Type.Number()),
  validationLoss: nullable(Type.Number()),
  validationAccuracy: nullable(Type.Number()),
  samplesPerSecond: nullable(Type.Number()),
  etaSeconds: nullable(Type.Number()),
  devices: Type.Array(Type.String()),
  explanation: Type.Array(Type.String()),
  /** That a device went over its budget, and the job was planned again with what it took there; null or missing: not so. */
  replanned: Type.Optional(nullable(ReplannedSchema)),
  /** From the launch on. */
  performance: nullable(PerformanceSchema),
  /** The folder on the coordinator's host that holds the results, and whether the submitter's own folder is it. */
  output: Type.Object({ directory: Type.String(), delivered: Type.Boolean() }),
  createdAt: Type.String(),
  startedAt: nullable(Type.String()),
  endedAt: nullable(Type.String()),
  error: nullable(
    Type.Object({
      code: Type.String(),
      message: Type.String(),
      device: nullable(Type.String()),
      family: Type.String(),
    }),
  ),
});
export type JobRecord = Static<typeof JobRecordSchema>;
