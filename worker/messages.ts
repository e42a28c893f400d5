import type { ErrorReport } from '../base/index.js';
import type { Flow } from '../collectives/index.js';
import type { DeviceRates, Link } from '../scheduler/index.js';
import type { ResolvedDevice } from './device/index.js';

/**
 * What a daemon and its executors say to each other, over the channel that Node opens between a parent and
 * a forked child. Both ends are one build, so the types are the schema.
 */
export interface RunId {
  readonly jobId: string;
  /** Membership epoch. */
  readonly epoch: number;
  readonly rank: number;
}

export type Phase = 'idle' | 'fetching' | 'compiling' | 'connecting' | 'training' | 'validating' | 'saving';

export interface StepNumbers {
  readonly step: number;
  readonly dataEpoch: number;
  readonly loss: number;
  readonly learningRate: number;
  readonly samplesPerSecond: number;
  readonly gradientNorm: number;
  readonly validationLoss?: number;
  readonly validationAccuracy?: number;
  readonly atSeconds: number;
}

export interface RunSummary {
  /** The executor's resident set at its highest; with memory of the device's own, what the engine counted there. */
  readonly peakBytes: number;
  readonly accountedBytes: number;
  readonly medianStepSeconds: number;
  readonly medianComputeSeconds: number;
  readonly steps: number;
  /** How messages of a pipeline got from this rank to others. */
  readonly links: readonly RankFlow[];
}

/** How messages got to another rank. */
export interface RankFlow extends Flow {
  readonly toRank: number;
}

/** What an executor is started with, as JSON on its command line. */
export interface ExecutorOptions {
  readonly device: ResolvedDevice;
  /** Where ranks listen for each other. */
  readonly listenHost: string;
  /** A folder for the process's own files, the daemon's to remove. */
  readonly scratch: string;
}

export type ToExecutor =
  | { readonly kind: 'launch'; readonly run: RunId; readonly plan: Uint8Array }
  | { readonly kind: 'peers'; readonly run: RunId; readonly endpoints: readonly string[] }
  | { readonly kind: 'stop'; readonly run: RunId; readonly reason: string }
  | { readonly kind: 'fetched'; readonly sha256: string; readonly path: string }
  | { readonly kind: 'fetch-failed'; readonly sha256: string; readonly error: ErrorReport }
  | { readonly kind: 'listen-for-probe'; readonly probe: string }
  | { readonly kind: 'measure-link'; readonly probe: string; readonly endpoint: string }
  /** `task` is a ProfileTask. A launch ends it. */
  | { readonly kind: 'profile'; readonly profile: string; readonly task: Uint8Array }
  | { readonly kind: 'shutdown' };

/** What a rank reports while it trains. */
export type RankMessage =
  | { readonly kind: 'ready'; readonly run: RunId; readonly endpoint: string }
  | { readonly kind: 'step'; readonly run: RunId; readonly numbers: StepNumbers }
  | { readonly kind: 'checkpoint'; readonly run: RunId; readonly step: number; readonly path: string }
  | { readonly kind: 'log'; readonly run: RunId; readonly level: 'info' | 'warn'; readonly message: string };

export type FromExecutor =
  | RankMessage
  | { readonly kind: 'probed'; readonly rates: DeviceRates }
  /** Instead of `probed`: the device does not work, or not right. */
  | { readonly kind: 'unusable'; readonly error: ErrorReport }
  | { readonly kind: 'beat'; readonly run: RunId | null; readonly step: number; readonly phase: Phase }
  | { readonly kind: 'fetch'; readonly sha256: string }
  | {
      readonly kind: 'finished';
      readonly run: RunId;
      readonly summary: RunSummary;
      /** Rank 0: the trained weights as a safetensors file. */
      readonly weightsPath: string | null;
      /** What the rank did and when, in some of its steps: the file of a `TraceRecorder`. */
      readonly tracePath: string | null;
    }
  | { readonly kind: 'failed'; readonly run: RunId; readonly error: ErrorReport }
  | { readonly kind: 'stopped'; readonly run: RunId }
  | { readonly kind: 'probe-listening'; readonly probe: string; readonly endpoint: string }
  | { readonly kind: 'link-measured'; readonly probe: string; readonly link: Link }
  | { readonly kind: 'probe-failed'; readonly probe: string; readonly message: string }
  /** `result` is a ModelProfile. */
  | { readonly kind: 'profiled'; readonly profile: string; readonly result: Uint8Array }
  | { readonly kind: 'profile-failed'; readonly profile: string; readonly message: string }
  /** The process cannot go on, and wants to be ended: it may not be able to end itself. */
  | {
      readonly kind: 'giving-up';
      readonly reason: string;
      /** What the daemon tells instead of `executor_died`. */
      readonly error?: ErrorReport;
    };

/** How often an executor says that it lives, in milliseconds. */
export const BEAT_MS = 250;
/** An executor that was silent for so long is taken for stalled. */
export const STALL_SECONDS = 2.5;
