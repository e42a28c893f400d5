import type { Bytes, Seconds } from '../base/index.js';
import type { AccountItem } from './account.js';
import type { ScheduleKind, StageCosts, TransferCost } from './pipeline/index.js';

/** Who trains what: the field names are those of `plan.json` and of `dtrain plan --json`. */
export interface Plan {
  readonly predictedStepSeconds: Seconds;
  readonly bottleneck: { readonly device: string; readonly why: string };
  readonly schedule: {
    /** `data-parallel`: one stage, nothing to schedule. */
    readonly kind: 'data-parallel' | ScheduleKind;
    readonly microBatches: number;
    /** Stages on each pipeline rank; 1 unless `interleaved`. */
    readonly stagesPerRank?: number;
  };
  readonly stages: readonly Stage[];
  /** Other plans tried and devices left out, with the reason. */
  readonly rejected: readonly RejectedPlan[];
  /** Sentences for people: which device does what, and why. */
  readonly explanation: readonly string[];
  /** Whether the replicas of a stage share its optimizer state (ZeRO-1); default: they do. */
  readonly shardOptimizer?: boolean;
  /** No plan of this model on these devices takes less, whatever their memory. */
  readonly boundSeconds?: Seconds;
  /** How far the plan may be from the best there is: (predictedStepSeconds - boundSeconds) / boundSeconds. */
  readonly gap?: number;
}

export interface Stage {
  readonly index: number;
  /** ONNX node names; every node of the model is in exactly one stage. */
  readonly nodes: readonly string[];
  readonly parameters: readonly string[];
  /** The units of the model's profile that the stage holds, half-open. */
  readonly units?: readonly [number, number];
  /** Whether the backward pass computes the stage's forward pass again in place of keeping what it left. */
  readonly recompute?: boolean;
  readonly replicas: readonly Replica[];
  /** What the simulator plays the stage with; plans of earlier versions have none. */
  readonly seconds?: StageSeconds;
}

/** Of one micro-batch, until the last replica of the stage is done. */
export interface StageSeconds extends StageCosts {
  /** Once a step, for all stages of the device together: gradients meet, parameters are updated. */
  readonly after: Seconds;
  /** The message to the next stage; missing from the last one. */
  readonly activation?: TransferCost;
  /** The message to the stage before; missing from the first one. */
  readonly gradient?: TransferCost;
}

/** A device of a stage; in a plan of one stage rank r of the job is replica r. */
export interface Replica {
  readonly device: string;
  readonly samplesPerStep: number;
  /** Its share of each micro-batch, in their order; one entry of `samplesPerStep` where there is one micro-batch. */
  readonly samplesPerMicroBatch?: readonly number[];
  readonly predictedPeakBytes: Bytes;
  readonly budgetBytes: Bytes;
  readonly predictedBusySeconds: Seconds;
  readonly account: readonly AccountItem[];
  /** The optimizer runs on the device: the account counts its state there. */
  readonly updateOnDevice?: boolean;
}

export interface RejectedPlan {
  readonly plan: string;
  readonly reason: string;
  readonly predictedStepSeconds?: Seconds;
}
