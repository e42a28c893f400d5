import { InvariantError } from '../../base/index.js';
import { identity, permutation } from './permutation.js';

export interface SamplerOptions {
  /** Samples in the dataset. */
  readonly length: number;
  /** Samples in a global batch, over all devices. */
  readonly batch: number;
  /** `shuffled` by seed and epoch, for training; `sequential`, for validation. */
  readonly order: 'shuffled' | 'sequential';
  readonly seed: number;
  /** Leaves out an epoch's last batch when it is not full. Default false: every sample, every epoch. */
  readonly dropLast?: boolean;
}

/** A place in training: `step` batches of `epoch` are done. */
export interface Position {
  readonly epoch: number;
  readonly step: number;
}

/**
 * Says which samples make up each global batch: batch b of an epoch is the positions `[b * batch, (b + 1) * batch)` of
 * that epoch's order, the last batch being what is left.
 *
 * The world does not enter: a rank takes its share (`splitBatch`, `sharesOf`) of a batch that is the same for any
 * number of ranks, so every sample is seen exactly once an epoch and any sharing sums to the single-device gradient.
 * Any (epoch, step) is reached without replaying those before it. Memory: `bytes`, for the order of one epoch.
 */
export class Sampler {
  readonly stepsPerEpoch: number;
  private order: Uint32Array | undefined;
  private epoch = -1;

  /** @throws InvariantError when length or batch is not a positive integer, or dropLast leaves no batch */
  constructor(private readonly options: SamplerOptions) {
    const { length, batch } = options;
    if (!isPositive(length) || length > 2 ** 32 || !isPositive(batch)) {
      throw new InvariantError(
        `a sampler takes 1 to 2^32 samples and a positive batch, found ${length} and ${batch}`,
      );
    }
    this.stepsPerEpoch = options.dropLast === true ? Math.floor(length / batch) : Math.ceil(length / batch);
    if (this.stepsPerEpoch === 0) {
      throw new InvariantError(`dropLast leaves no batch of ${batch} out of ${length} samples`);
    }
  }

  /** Memory of the epoch's order once a batch has been asked for. */
  get bytes(): number {
    return 4 * this.options.length;
  }

  /** Samples in batch `step` of any epoch. */
  batchSize(step: number): number {
    const { length, batch } = this.options;
    return Math.min(batch, length - step * batch);
  }

  /**
   * The samples of a global batch: a view into the epoch's order, valid until another epoch is asked for.
   * The first batch of an epoch costs the permutation, every other nothing.
   * @throws InvariantError a step outside [0, stepsPerEpoch)
   */
  batch(position: Position): Uint32Array {
    const { epoch, step } = position;
    if (!(step >= 0 && step < this.stepsPerEpoch)) {
      throw new InvariantError(`step ${step} is outside the epoch's [0, ${this.stepsPerEpoch})`);
    }
    const start = step * this.options.batch;
    return this.orderOf(epoch).subarray(start, start + this.batchSize(step));
  }

  /** Where training stands after `steps` batches since its start. */
  positionOf(steps: number): Position {
    return { epoch: Math.floor(steps / this.stepsPerEpoch), step: steps % this.stepsPerEpoch };
  }

  private orderOf(epoch: number): Uint32Array {
    const { length, seed, order } = this.options;
    if (order === 'sequential') return (this.order ??= identity(length));
    if (!this.order || this.epoch !== epoch) {
      this.order = undefined; // let go of the old one first: two are never held
      this.order = permutation(length, seed, epoch);
      this.epoch = epoch;
    }
    return this.order;
  }
}

function isPositive(value: number): boolean {
  return Number.isSafeInteger(value) && value > 0;
}
