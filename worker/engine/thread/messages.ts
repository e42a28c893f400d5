import type { Bytes, ErrorReport, Seconds } from '../../../base/index.js';
import type { TypedGraph } from '../../../graph/index.js';
import type { EngineName, EngineOptions, Fallback, ValueSpec } from '../port.js';
import type { DeviceRates } from '../../../scheduler/index.js';
import type { ProgramId, SequencePlan } from './sequence.js';

/** What the thread is started with. */
export interface ThreadOptions extends EngineOptions {
  readonly engine: EngineName;
  /**
   * The share of its real speed that the thread may use, in (0, 1]: after a computation of t seconds it rests
   * until t / speed have passed. Default 1.
   */
  readonly speed?: number;
  /** Limit of the thread's JavaScript heap (not of the engine's own memory); beyond it the thread dies, the process lives. */
  readonly heapBytes?: Bytes;
}

export interface CompiledProgram {
  readonly program: ProgramId;
  readonly inputs: readonly ValueSpec[];
  readonly outputs: readonly ValueSpec[];
  readonly fallbacks: readonly Fallback[];
}

/** When one segment ran, and how long it took. */
export interface SegmentTiming {
  /** Seconds since 1970. */
  readonly startedAt: Seconds;
  readonly computeSeconds: Seconds;
  /** The rest that throttling added. */
  readonly restSeconds: Seconds;
}

/** Names a buffer that the thread keeps between runs, of any sequence. */
export type HeldBuffer = number;

/** Two kept buffers of one size that change places: a value is renamed, not copied. */
export interface Exchange {
  readonly from: HeldBuffer;
  readonly to: HeldBuffer;
}

/** What a run computes on at an index of its plan: a buffer of its own, one that is kept, nothing where it is resident. */
export type RunBuffer = ArrayBuffer | HeldBuffer | undefined;

/** What one request asks for, and what its answer carries. */
export interface Operations {
  readonly compile: { readonly asks: { readonly graph: TypedGraph }; readonly answers: CompiledProgram };
  readonly prepare: {
    readonly asks: { readonly plan: SequencePlan };
    readonly answers: { readonly sequence: number };
  };
  /** Gives the thread a buffer to keep under a key, in place of what it had there. */
  readonly hold: {
    readonly asks: { readonly key: HeldBuffer; readonly buffer: ArrayBuffer };
    readonly answers: undefined;
  };
  /** Asks for kept buffers back. */
  readonly take: {
    readonly asks: { readonly keys: readonly HeldBuffer[] };
    readonly answers: { readonly buffers: readonly ArrayBuffer[] };
  };
  /** Forgets kept buffers, whose contents nobody needs. */
  readonly drop: { readonly asks: { readonly keys: readonly HeldBuffer[] }; readonly answers: undefined };
  /** What lies under `from` lies under `to` from now on; what `to` had is dropped, its buffer lies under `from`. */
  readonly exchange: { readonly asks: { readonly pairs: readonly Exchange[] }; readonly answers: undefined };
  /** Buffers by index of the plan. Those given travel by transfer. */
  readonly run: {
    readonly asks: { readonly sequence: number; readonly buffers: readonly RunBuffer[] };
    readonly answers: { readonly segments: readonly SegmentTiming[] };
  };
  readonly disposeProgram: { readonly asks: { readonly program: ProgramId }; readonly answers: undefined };
  readonly disposeSequence: { readonly asks: { readonly sequence: number }; readonly answers: undefined };
  /** The most bytes of the device that the engine counted since this was asked last; undefined where it does not count. */
  readonly takeMostBytes: { readonly asks: object; readonly answers: { readonly bytes: Bytes | undefined } };
  readonly measureRates: { readonly asks: { readonly seconds: Seconds }; readonly answers: DeviceRates };
  /** Frees what nobody holds any more in the thread's own heap. */
  readonly collect: { readonly asks: object; readonly answers: undefined };
  readonly close: { readonly asks: object; readonly answers: undefined };
}
export type Operation = keyof Operations;

/** Main thread to compute thread. Requests are served one at a time, in the order sent. */
export type Request = {
  readonly [K in Operation]: { readonly kind: K; readonly id: number } & Operations[K]['asks'];
}[Operation];

/** A buffer on its way back, by index of the plan. */
export interface ReturnedBuffer {
  readonly index: number;
  readonly buffer: ArrayBuffer;
}

/** Compute thread to main thread. */
export type Reply =
  /** Once, after the engine was made. */
  | { readonly kind: 'ready'; readonly device: string; readonly keepsValues: boolean }
  /** Instead of `ready`. */
  | { readonly kind: 'unusable'; readonly report: ErrorReport }
  /** After each segment of run `id` that hands something back, before the next segment starts. */
  | {
      readonly kind: 'released';
      readonly id: number;
      readonly segment: number;
      readonly buffers: readonly ReturnedBuffer[];
    }
  | { readonly kind: 'done'; readonly id: number; readonly answer: Operations[Operation]['answers'] }
  | { readonly kind: 'failed'; readonly id: number; readonly report: ErrorReport };
