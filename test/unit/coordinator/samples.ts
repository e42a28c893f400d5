import type {
  JobEvent,
  JobEventOf,
  ModelFacts,
  Progress,
  RankSummary,
} from '../../../coordinator/job/index.js';
import type { JobSpec } from '../../../protocol/index.js';
import type { Device, Plan } from '../../../scheduler/index.js';

/** Values that tests of the coordinator begin with. */
export const job: JobSpec = {
  name: 'sample',
  model: `sha256:${'a'.repeat(64)}`,
  data: { train: { format: 'csv', path: `sha256:${'b'.repeat(64)}`, target: -1 } },
  loss: 'mse',
  optimizer: { kind: 'sgd', lr: 0.1 },
  batch: 8,
};

const work = { productFlops: 1e5, movedBytes: 1000, launches: 2 };
const unit = (name: string) => ({
  nodes: [name],
  parameters: [{ name: `w${name}`, bytes: 1000, trained: true }],
  forward: work,
  backwardInput: work,
  backwardWeight: work,
  savedBytesPerSample: 1000,
  rereadBytesPerSample: 0,
  forwardBytesPerSample: 1000,
  backwardBytesPerSample: 1000,
});

export const model: ModelFacts = {
  layers: {
    units: [unit('a'), unit('b')],
    cuts: [{ activationBytesPerSample: 100, gradientBytesPerSample: 100 }],
    tied: [],
    fused: {
      activationBytes: { base: 0, perSample: 1000 },
      crossingBytes: { base: 0, perSample: 0 },
    },
  },
  job: { stateFactor: 0, batchBytesPerSample: 100, datasetBytes: 1000 },
  vocabulary: null,
};

/** A model so large that every device which fits it helps. */
export const heavy: ModelFacts = {
  ...model,
  layers: {
    ...model.layers,
    units: model.layers.units.map((each) => {
      const work = { ...each.forward, productFlops: 1e9 };
      return { ...each, forward: work, backwardInput: work, backwardWeight: work };
    }),
  },
};

export function device(index: number, change: Partial<Device> = {}): Device {
  return { id: `host/cpu:${index}`, host: 'host', kind: 'cpu', memoryBytes: 2 ** 30, flops: 1e10, ...change };
}

export const plan: Plan = {
  predictedStepSeconds: 0.1,
  bottleneck: { device: 'host/cpu:0', why: 'it is alone' },
  schedule: { kind: 'data-parallel', microBatches: 1 },
  stages: [
    {
      index: 0,
      nodes: ['a', 'b'],
      parameters: ['w'],
      replicas: [
        {
          device: 'host/cpu:0',
          samplesPerStep: 8,
          predictedPeakBytes: 5,
          budgetBytes: 10,
          predictedBusySeconds: 0.1,
          account: [],
        },
      ],
    },
  ],
  rejected: [],
  explanation: ['host/cpu:0 takes all'],
};

export const progress: Progress = {
  step: 3,
  loss: 0.5,
  samplesPerSecond: 80,
  validationLoss: null,
  validationAccuracy: null,
};

export const summary: RankSummary = {
  peakBytes: 9,
  accountedBytes: 8,
  medianStepSeconds: 0.2,
  medianComputeSeconds: 0.15,
  steps: 20,
};

export function submitted(id = 'job_1', at = 1000): JobEventOf<'submitted'> {
  return {
    type: 'submitted',
    at,
    id,
    job,
    model,
    output: { directory: '/out', delivered: false },
    totals: { rows: 80, stepsPerEpoch: 10, totalSteps: 20 },
  };
}

/** One event of each kind but the first. */
export const later: Readonly<Record<Exclude<JobEvent['type'], 'submitted'>, JobEvent>> = {
  planned: { type: 'planned', at: 1100 },
  launched: { type: 'launched', at: 1100, epoch: 1, plan },
  started: { type: 'started', at: 1200 },
  progressed: { type: 'progressed', at: 1300, progress },
  checkpointed: { type: 'checkpointed', at: 1400, step: 3, parts: ['c'.repeat(64)] },
  replanned: {
    type: 'replanned',
    at: 1450,
    device: 'host/cpu:0',
    budgetBytes: 10,
    measuredBytes: 12,
    predictedBytes: 5,
    runtimeBytes: 2,
    message: 'host/cpu:0: its executor took 12 bytes',
  },
  succeeded: { type: 'succeeded', at: 1500, progress: { ...progress, step: 20 }, measured: [summary] },
  failed: {
    type: 'failed',
    at: 1500,
    error: { family: 'peer', code: 'executor_died', message: 'it died', device: 'host/cpu:0' },
  },
  cancelled: { type: 'cancelled', at: 1500 },
};
