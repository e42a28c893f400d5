import { Type, type Static } from '@sinclair/typebox';
import { PatternsSchema } from './pattern.js';

const rate = (description: string) => Type.Number({ minimum: 0, description });
const fraction = (description: string) => Type.Number({ minimum: 0, exclusiveMaximum: 1, description });
const strict = { additionalProperties: false } as const;

/** Settings of some parameters: what stands here is theirs instead of the optimizer's own. */
const GroupSchema = Type.Object(
  {
    parameters: PatternsSchema,
    lr: Type.Optional(rate('learning rate; the schedule multiplies it as it does the other')),
    weightDecay: Type.Optional(rate('as the optimizer means it')),
  },
  { ...strict, minProperties: 2, description: 'parameters, and lr or weightDecay or both' },
);
const groups = Type.Optional(
  Type.Array(GroupSchema, {
    minItems: 1,
    description: 'settings by parameter; the first group that fits counts',
  }),
);

/** `optimizer` of a job file. Update rules are those of torch.optim; see docs/optimizers.md. */
export const OptimizerSchema = Type.Union(
  [
    Type.Object(
      {
        kind: Type.Literal('sgd'),
        lr: rate('learning rate'),
        momentum: Type.Optional(fraction('default 0')),
        nesterov: Type.Optional(Type.Boolean({ description: 'default false; needs momentum' })),
        weightDecay: Type.Optional(rate('L2 penalty added to the gradient; default 0')),
        groups,
      },
      strict,
    ),
    Type.Object(
      {
        kind: Type.Union([Type.Literal('adam'), Type.Literal('adamw')]),
        lr: rate('learning rate'),
        betas: Type.Optional(
          Type.Tuple([fraction('beta1'), fraction('beta2')], { description: 'default [0.9, 0.999]' }),
        ),
        eps: Type.Optional(Type.Number({ exclusiveMinimum: 0, description: 'default 1e-8' })),
        weightDecay: Type.Optional(rate('adam: L2, default 0; adamw: decoupled, default 0.01')),
        groups,
      },
      strict,
    ),
  ],
  {
    description:
      'sgd {lr, momentum, nesterov, weightDecay, groups}, adam or adamw {lr, betas, eps, weightDecay, groups}',
  },
);
export type OptimizerConfig = Static<typeof OptimizerSchema>;

/** `schedule` of a job file: the factor by which `lr` is multiplied at each step. */
export const ScheduleSchema = Type.Object(
  {
    kind: Type.Union([
      Type.Literal('constant'),
      Type.Literal('linear'),
      Type.Literal('cosine'),
      Type.Literal('step'),
    ]),
    warmupSteps: Type.Optional(
      Type.Integer({ minimum: 0, description: 'linear rise over so many steps; default 0' }),
    ),
    minFactor: Type.Optional(fraction('linear, cosine: the factor at the last step; default 0')),
    everySteps: Type.Optional(
      Type.Integer({ minimum: 1, description: 'step: multiply by gamma each time; default 1000' }),
    ),
    gamma: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 1, description: 'step: default 0.1' })),
  },
  { ...strict, description: 'constant, linear, cosine or step, each with warmupSteps' },
);
export type ScheduleConfig = Static<typeof ScheduleSchema>;
