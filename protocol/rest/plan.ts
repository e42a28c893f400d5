import { Type, type Static } from '@sinclair/typebox';
import { SCHEDULE_KINDS } from '../../scheduler/index.js';

const strings = Type.Array(Type.String());
const Message = Type.Object({ latency: Type.Number(), wire: Type.Number() });

/** `plan.json`, `GET /v1/jobs/{id}/plan`, `POST /v1/plan` and `dtrain plan --json`: the planner's `Plan`, field by field. */
export const PlanSchema = Type.Object({
  predictedStepSeconds: Type.Number(),
  bottleneck: Type.Object({ device: Type.String(), why: Type.String() }),
  schedule: Type.Object({
    kind: Type.Union([Type.Literal('data-parallel'), ...SCHEDULE_KINDS.map((kind) => Type.Literal(kind))]),
    microBatches: Type.Integer(),
    stagesPerRank: Type.Optional(Type.Integer()),
  }),
  stages: Type.Array(
    Type.Object({
      index: Type.Integer(),
      nodes: strings,
      parameters: strings,
      units: Type.Optional(
        Type.Tuple([Type.Integer(), Type.Integer()], { description: 'of the profile, half-open' }),
      ),
      recompute: Type.Optional(Type.Boolean()),
      replicas: Type.Array(
        Type.Object({
          device: Type.String(),
          samplesPerStep: Type.Integer(),
          samplesPerMicroBatch: Type.Optional(Type.Array(Type.Integer())),
          predictedPeakBytes: Type.Number({ description: 'of the device, with all its stages' }),
          budgetBytes: Type.Number(),
          predictedBusySeconds: Type.Number({ description: 'of this stage, a step' }),
          account: Type.Array(Type.Object({ what: Type.String(), bytes: Type.Number() })),
          updateOnDevice: Type.Optional(Type.Boolean({ description: 'the optimizer runs on the device' })),
        }),
      ),
      seconds: Type.Optional(
        Type.Object(
          {
            forward: Type.Number(),
            backwardInput: Type.Number(),
            backwardWeight: Type.Number(),
            after: Type.Number({ description: 'once a step: gradients meet, parameters are updated' }),
            activation: Type.Optional(Message),
            gradient: Type.Optional(Message),
          },
          { description: 'what the simulator plays a micro-batch with' },
        ),
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
  shardOptimizer: Type.Optional(Type.Boolean()),
  boundSeconds: Type.Optional(Type.Number({ description: 'no plan takes less, whatever the memory' })),
  gap: Type.Optional(Type.Number({ description: '(predictedStepSeconds - boundSeconds) / boundSeconds' })),
});
export type PlanDocument = Static<typeof PlanSchema>;

/** `report.json`: what the planner predicted beside what was measured. */
export const ReportSchema = Type.Object({
  job: Type.String(),
  steps: Type.Integer(),
  predictedStepSeconds: Type.Number(),
  measuredStepSeconds: Type.Number({ description: 'the slowest device’s median' }),
  bottleneck: Type.Object(
    { device: Type.String(), why: Type.String() },
    { description: 'as measured: the busiest device, or `network` where a link took longer' },
  ),
  links: Type.Array(
    Type.Object({
      from: Type.String({ description: 'device' }),
      to: Type.String(),
      bytesPerStep: Type.Number(),
      secondsPerStep: Type.Number({ description: 'in which a message at least was on its way' }),
      plannedBytesPerSecond: Type.Number(),
      plannedLatencySeconds: Type.Number(),
      measuredBytesPerSecond: Type.Number({ description: 'of one of the larger messages, less latency' }),
    }),
    { description: 'between the stages of a pipeline' },
  ),
  devices: Type.Array(
    Type.Object({
      device: Type.String(),
      stages: Type.Array(Type.Integer(), { description: 'indices of those that it held' }),
      samplesPerStep: Type.Integer(),
      budgetBytes: Type.Number(),
      predictedPeakBytes: Type.Number(),
      measuredPeakBytes: Type.Number({ description: 'resident set of the executor at its highest' }),
      accountedBytes: Type.Number({ description: 'what the executor itself accounts for' }),
      predictedStepSeconds: Type.Number(),
      measuredStepSeconds: Type.Number({ description: 'median' }),
      predictedBusySeconds: Type.Number({ description: 'computing, a step' }),
      measuredBusySeconds: Type.Number({ description: 'computing, a step: median' }),
    }),
  ),
});
export type Report = Static<typeof ReportSchema>;
