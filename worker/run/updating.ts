import type { RunBuffer } from '../engine/index.js';

/** What a step came to, over all ranks. */
export interface Updated {
  /** Mean loss of the global batch, before the update. */
  readonly loss: number;
  readonly learningRate: number;
  /** Global norm of the gradient, before clipping. */
  readonly gradientNorm: number;
}

/**
 * What becomes of a step's gradients: where the engine leaves them, and the update that they end in. Whoever computes at the
 * same time as others (a stage) has targets of its own.
 */
export interface Updating {
  /** Starts a step. @param contributions how many each bucket will get */
  begin(contributions: readonly number[]): void;
  /** Where a run is to leave a bucket's gradients. */
  target(bucket: number, user: number): RunBuffer;
  /** A target that travelled is back, with gradients. */
  returned(bucket: number, user: number, buffer: ArrayBuffer): void;
  /** A run has left gradients in its targets; awaited before another has the same ones. */
  add(buckets: Iterable<number>, user: number): Promise<void>;
  /**
   * Ends step number `step` (from 0), once all gradients are there. All ranks call it.
   * @param loss this rank's part of the mean loss
   * @throws DivergedError when loss or gradient leave the reals; the parameters are then those before the step
   * @throws CollectiveError when a ring fails; likewise
   */
  finish(step: number, loss: number): Promise<Updated>;
  /** Brings the parameters to the rank's memory as the last step has left them. */
  bringBack(): Promise<void>;
  /** Has the compute thread forget what it keeps for updates. */
  dispose(): Promise<void>;
}
