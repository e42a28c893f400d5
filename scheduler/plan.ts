import type { Bytes, Seconds } from '../base/index.js';
import type { AccountItem } from './account.js';

/** Who trains what: the field names are those of `plan.json` and of `dtrain plan --json`. */
export interface Plan {
  readonly predictedStepSeconds: Seconds;
  readonly bottleneck: { readonly device: string; readonly why: string };
  readonly schedule: { readonly kind: 'data-parallel'; readonly microBatches: number };
  readonly stages: readonly Stage[];
  /** Other plans tried and devices left out, with the reason. */
  readonly rejected: readonly RejectedPlan[];
  /** Sentences for people: which device does what, and why. */
  readonly explanation: readonly string[];
}

export interface Stage {
  readonly index: number;
  /** ONNX node names; every node of the model is in exactly one stage. */
  readonly nodes: readonly string[];
  readonly parameters: readonly string[];
  readonly replicas: readonly Replica[];
}

/** Rank r of the job is replica r of the only stage. */
export interface Replica {
  readonly device: string;
  readonly samplesPerStep: number;
  readonly predictedPeakBytes: Bytes;
  readonly budgetBytes: Bytes;
  readonly predictedBusySeconds: Seconds;
  readonly account: readonly AccountItem[];
}

export interface RejectedPlan {
  readonly plan: string;
  readonly reason: string;
  readonly predictedStepSeconds?: Seconds;
}
