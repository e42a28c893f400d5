import type { Seconds } from '../../base/index.js';
import type { Device, Topology } from '../device.js';
import type { ScheduleKind } from '../pipeline/index.js';
import type { LayerProfile } from './layers.js';
import type { JobBytes } from './memory.js';

/** What a plan is asked for. */
export interface PlanRequest {
  readonly layers: LayerProfile;
  readonly job: JobBytes;
  /** Samples of a step, over all devices. */
  readonly batch: number;
  readonly devices: readonly Device[];
  readonly topology: Topology;
  /** What the job forces; the rest is searched. */
  readonly parallelism?: Forced;
  /** The search ends with the best it has after so many seconds of `now`; default: it ends by itself. */
  readonly timeLimitSeconds?: Seconds;
  /** Seconds of some clock; needed for the time limit alone. */
  readonly now?: () => Seconds;
}

/** What a job's `parallelism` may say. */
export interface Forced {
  /** Replicas of every stage. */
  readonly data?: number;
  /** Pipeline ranks. */
  readonly pipeline?: number;
  readonly microBatches?: number;
  readonly schedule?: ScheduleKind;
  /** Stages on each pipeline rank of an interleaved schedule; default: 2. */
  readonly stagesPerRank?: number;
  readonly recompute?: boolean;
  readonly shardOptimizer?: boolean;
  /** Relative shares of a stage's replicas, in the order of `devices`. */
  readonly shares?: readonly number[];
}
