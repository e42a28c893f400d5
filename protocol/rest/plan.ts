import { Type, type Static } from '@sinclair/typebox';

const strings = Type.Array(Type.String());

/** `plan.json`, `GET /v1/jobs/{id}/plan` and `dtrain plan --json`. */
export const PlanSchema = Type.Object({
  predictedStepSeconds: Type.Number(),
  bottleneck: Type.Object({ device: Type.String(), why: Type.String() }),
  schedule: Type.Object({ kind: Type.String(), microBatches: Type.Integer() }),
  stages: Type.Array(
    Type.Object({
      index: Type.Integer(),
      nodes: strings,
      parameters: strings,
      replicas: Type.Array(
        Type.Object({
          device: Type.String(),
          samplesPerStep: Type.Integer(),
          predictedPeakBytes: Type.Number(),
          budgetBytes: Type.Number(),
          predictedBusySeconds: Type.Number(),
          account: Type.Array(Type.Object({ what: Type.String(), bytes: Type.Number() })),
        }),
      ),
    }),
  ),
  rejected: Type.Array(
    Type.Object({
      plan: Type.String(),
      reason: Type.String(),
      predictedStepSeconds: Type.Optional(Type.Number()),
    }),
  ),
  explanation: strings,
});
export type PlanDocument = Static<typeof PlanSchema>;

/** `report.json`: what the planner predicted beside what was measured. */
export const ReportSchema = Type.Object({
  job: Type.String(),
  steps: Type.Integer(),
  predictedStepSeconds: Type.Number(),
  measuredStepSeconds: Type.Number({ description: 'the slowest device’s median' }),
  devices: Type.Array(
    Type.Object({
      device: Type.String(),
      samplesPerStep: Type.Integer(),
      budgetBytes: Type.Number(),
      predictedPeakBytes: Type.Number(),
      measuredPeakBytes: Type.Number({ description: 'resident set of the executor at its highest' }),
      accountedBytes: Type.Number({ description: 'what the executor itself accounts for' }),
      predictedStepSeconds: Type.Number(),
      measuredStepSeconds: Type.Number({ description: 'median' }),
      predictedComputeSeconds: Type.Number(),
      measuredComputeSeconds: Type.Number({ description: 'median' }),
    }),
  ),
});
export type Report = Static<typeof ReportSchema>;
