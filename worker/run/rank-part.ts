import type { Arena, Failing, RingOptions, Transport } from '../../collectives/index.js';
import type { Bytes } from '../../base/index.js';
import type { Tensor } from '../../graph/index.js';
import type { RunPlan } from '../../protocol/index.js';
import type { ComputeThread } from '../engine/index.js';
import type { MemoryLedger } from '../memory/index.js';
import type { TraceRecorder } from '../trace/index.js';
import type { Datasets } from './datasets.js';
import type { Evaluation } from './evaluator.js';
import type { StepResult } from './trainer.js';

/** What a rank is made of. */
export interface RankOptions<Model> {
  readonly plan: RunPlan;
  readonly rank: number;
  readonly model: Model;
  readonly datasets: Datasets;
  readonly thread: ComputeThread;
  readonly ring: RingOptions;
  readonly trace: TraceRecorder;
  readonly ledger: MemoryLedger;
}

/** How a rank reaches the others. */
export interface Connection {
  readonly transport: Transport;
  /** Where each rank listens. */
  readonly addresses: readonly string[];
  readonly arena: Arena;
  readonly ring: RingOptions;
  /** How long to wait for each other rank. */
  readonly joinSeconds: number;
  /** Called for each ring and stream that there is from now on: they fail together and are aborted when the run stops. */
  readonly opened: (part: Failing & { close(): Promise<void> }) => void;
}

/** A rank that has compiled what it will compute, before it knows the others. */
export interface CompiledRank {
  /** Arena that `connect` takes. */
  readonly arenaBytes: Bytes;
  /** Where its update runs and why, for people; undefined where there was nothing to choose. */
  readonly note: string | undefined;
  /** @throws CollectiveError, TransportError naming the rank that does not answer */
  connect(connection: Connection): Promise<RankPart>;
  /** Gives back what the compute thread holds for it. */
  dispose(): Promise<void>;
}

/** A rank's part in a training, whatever part of the model it holds. All ranks make the same calls in the same order. */
export interface RankPart {
  /**
   * Step number `step`, from 0.
   * @param stopped throws where the run was told to end
   * @throws DivergedError, CollectiveError, DtrainError of the engine
   */
  step(step: number, stopped: () => void): Promise<StepResult>;
  /** Loss and accuracy on the validation data. @param stopped throws where the run was told to end */
  evaluate(stopped: () => void): Promise<Evaluation>;
  /** Before running statistics are used or saved, and at the end: afterwards they are the same on all replicas. */
  averageStatistics(): Promise<void>;
  /**
   * What this rank has of the trained model; undefined where another rank has the same and tells it. Views, valid until
   * the next step.
   */
  weights(): Promise<ReadonlyMap<string, Tensor> | undefined>;
  /** Resolves when every rank has called it. */
  barrier(): Promise<void>;
}
