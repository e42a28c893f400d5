import { InvariantError } from '../../base/index.js';
import { loadKernels, type Kernels } from './kernels.js';
import { adamScalars, stateNames, type UpdateRule } from './rule.js';

/** What changes from step to step. */
export interface StepScalars {
  readonly learningRate: number;
  /** 1 for the first update: Adam's bias correction depends on it. */
  readonly step: number;
  /** Multiplies every gradient before the rule sees it: the factor of `clipFactor`, or 1. */
  readonly gradientScale: number;
}

/** A range of float32 elements to update: a rank's shard of a bucket (ZeRO-1). Addresses in bytes. */
export interface Shard {
  readonly elements: number;
  readonly parameters: number;
  readonly gradients: number;
  /** One address for each of `stateNames(rule)`, each of `elements` float32, zero before the first step. */
  readonly state: readonly number[];
}

/**
 * Applies one rule to ranges of one WebAssembly memory, in place. Holds no state of its own: the caller's memory
 * and the step's number are all there is, so a shard can move to another rank between steps.
 */
export class Optimizer {
  private readonly kernels: Kernels;

  constructor(
    readonly rule: UpdateRule,
    private readonly memory: WebAssembly.Memory,
  ) {
    this.kernels = loadKernels(memory);
  }

  /**
   * One update: parameters and state change, gradients do not.
   * Element by element, so that any split into shards gives the same bits.
   * @throws InvariantError when a range is outside the memory or not aligned to 4 bytes
   */
  update(shard: Shard, { learningRate, step, gradientScale }: StepScalars): void {
    const { rule } = this;
    const names = stateNames(rule);
    if (shard.state.length !== names.length) {
      throw new InvariantError(
        `${rule.kind} needs the state ${names.join(', ') || '(none)'}, got ${shard.state.length}`,
      );
    }
    if (!(step >= 1)) throw new InvariantError(`the first update is step 1, not ${step}`);
    for (const address of [shard.parameters, shard.gradients, ...shard.state])
      this.check(address, shard.elements);
    if (rule.kind === 'sgd') {
      this.kernels.sgd(
        shard.parameters,
        shard.gradients,
        shard.state[0] ?? 0,
        shard.elements,
        learningRate,
        rule.momentum,
        rule.weightDecay,
        rule.nesterov,
        gradientScale,
      );
      return;
    }
    const { stepSize, correction, l2, keep } = adamScalars(rule, learningRate, step);
    this.kernels.adam(
      shard.parameters,
      shard.gradients,
      shard.state[0]!,
      shard.state[1]!,
      shard.elements,
      stepSize,
      rule.beta1,
      rule.beta2,
      correction,
      rule.eps,
      l2,
      keep,
      gradientScale,
    );
  }

  /** The sum of squares of a range of float32, in float64; see `clipFactor`. */
  sumOfSquares(address: number, elements: number): number {
    this.check(address, elements);
    return this.kernels.sumOfSquares(address, elements);
  }

  private check(address: number, elements: number): void {
    const end = address + 4 * elements;
    if (address % 4 !== 0 || address < 0 || elements < 0 || end > this.memory.buffer.byteLength) {
      throw new InvariantError(
        `bytes ${address} to ${end} are no float32 range of a memory of ${this.memory.buffer.byteLength} bytes`,
      );
    }
  }
}
