import type { Seconds } from '../base/index.js';

/**
 * What one model takes on one device, as factors on what the device's rates foretell: by unit of the model's profile for
 * each part of a stage's work, and for the whole step as one program.
 */
export interface Calibration {
  readonly forward: readonly number[];
  readonly backwardInput: readonly number[];
  readonly backwardWeight: readonly number[];
  readonly fused: number;
}

/** What was measured of a model on a device. */
export interface ModelTiming {
  /** Samples that the ranges computed. */
  readonly samples: number;
  /** Units [from, to) of the model's profile; each unit in one range at most. */
  readonly ranges: readonly {
    readonly from: number;
    readonly to: number;
    readonly forward: Seconds;
    readonly backwardInput: Seconds;
    readonly backwardWeight: Seconds;
  }[];
  /** The whole step, forward and backward pass, as a plan of one stage runs it. */
  readonly whole: { readonly samples: number; readonly seconds: Seconds } | null;
}
