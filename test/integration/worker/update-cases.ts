import { linear, model, relu, sequential, tensor } from '../../../graph/nn/index.js';
import type { RunPlan } from '../../../protocol/index.js';
import { planOf, type Artifacts } from './plans.js';

export const STEPS = 12;
export const BATCH = 8;
/** Buckets that the small plan cuts its parameters into. */
export const BUCKETS = 3;
/** Parameters of the model, in bytes without padding. */
export const PARAMETER_BYTES = 4 * (6 * 16 + 16 + 16 * 4 + 4);

const { graph } = model({ input: tensor(6), layers: sequential(linear(16), relu(), linear(4)), seed: 3 });

/** What a job may say of its optimizer: each rule, with groups, clipping and schedules. */
export const UPDATES: Readonly<Record<string, Partial<RunPlan>>> = {
  sgd: { optimizer: { kind: 'sgd', lr: 0.1 } },
  'sgd with momentum and decay': {
    optimizer: { kind: 'sgd', lr: 0.05, momentum: 0.9, weightDecay: 0.01 },
    schedule: { kind: 'cosine', warmupSteps: 3 },
  },
  nesterov: { optimizer: { kind: 'sgd', lr: 0.05, momentum: 0.8, nesterov: true }, clipNorm: 0.3 },
  adam: { optimizer: { kind: 'adam', lr: 0.01, weightDecay: 0.1 }, clipNorm: 0.2 },
  'adamw in groups': {
    optimizer: {
      kind: 'adamw',
      lr: 0.02,
      groups: [{ parameters: '*.bias', weightDecay: 0, lr: 0.05 }],
    },
    schedule: { kind: 'linear', warmupSteps: 2 },
    clipNorm: 0.5,
  },
};

/** A small classifier on one device, in `BUCKETS` buckets. */
export function smallPlan(artifacts: Artifacts, change: Partial<RunPlan>): RunPlan {
  return planOf(artifacts.model(graph), artifacts.table(BATCH * 4, 6, 4), [BATCH], {
    totalSteps: STEPS,
    bucketBytes: 256,
    ...change,
  });
}

export { graph as smallGraph };

/** The same plan with the updates on the devices. */
export function onDevice(plan: RunPlan): RunPlan {
  return { ...plan, ranks: plan.ranks.map((rank) => ({ ...rank, updateOnDevice: true })) };
}
