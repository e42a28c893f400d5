import type { JobRecord, Submission } from '../../protocol/index.js';

const artifact = (digit: string) => `sha256:${digit.repeat(64)}`;

/** For the OpenAPI document. */
export const exampleSubmission: Submission = {
  job: {
    name: 'digits',
    model: artifact('a'),
    data: {
      train: {
        format: 'idx',
        features: artifact('b'),
        labels: artifact('c'),
        normalize: { mean: 0.1307, std: 0.3081 },
      },
    },
    loss: 'cross_entropy',
    optimizer: { kind: 'adamw', lr: 0.001 },
    batch: 128,
    epochs: 2,
    seed: 7,
  },
  outputClaim: { directory: '/home/ada/digits/out', token: 'f3b1c2' },
};

export const exampleJob: JobRecord = {
  id: 'job_k3v9x1a2m4q7',
  name: 'digits',
  state: 'running',
  step: 120,
  totalSteps: 938,
  loss: 0.412,
  validationLoss: null,
  validationAccuracy: null,
  samplesPerSecond: 5120,
  etaSeconds: 20.4,
  devices: ['old/cpu:0', 'big/cuda:0'],
  explanation: ['big/cuda:0 takes 96 of 128 samples a step: 900.0 GFLOP/s measured, 75 % of the cluster'],
  replanned: null,
  performance: {
    predictedStepSeconds: 0.021,
    measuredStepSeconds: null,
    devices: [
      {
        device: 'big/cuda:0',
        stages: [0],
        samplesPerStep: 96,
        budgetBytes: 8589934592,
        predictedPeakBytes: 1476395008,
        measuredPeakBytes: null,
        predictedBusySeconds: 0.019,
        measuredBusySeconds: null,
        measuredStepSeconds: null,
      },
    ],
  },
  output: { directory: '/home/ada/digits/out', delivered: true },
  createdAt: '2025-06-01T12:00:00.000Z',
  startedAt: '2025-06-01T12:00:02.000Z',
  endedAt: null,
  error: null,
};
