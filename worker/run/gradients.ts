import { InvariantError } from '../../base/index.js';
import type { RankMemory } from './rank-memory.js';

/**
 * Adds up the gradients of a step's micro-batches, bucket by bucket, in the arena: the first contribution is copied,
 * the others are added, in the order in which they come.
 */
export class Gradients {
  /** Contributions still to come in this step, by bucket. */
  private readonly missing: number[];
  private readonly begun: boolean[];

  /** @param complete called once a step for each bucket, when all of its contributions are in */
  constructor(
    private readonly memory: RankMemory,
    private readonly complete: (bucket: number) => void,
  ) {
    this.missing = memory.buckets.map(() => 0);
    this.begun = memory.buckets.map(() => false);
  }

  /** Starts a step. @param contributions how many each bucket will get; one that gets none is zero, and complete */
  begin(contributions: readonly number[]): void {
    contributions.forEach((count, bucket) => {
      this.missing[bucket] = count;
      this.begun[bucket] = false;
    });
    contributions.forEach((count, bucket) => {
      if (count > 0) return;
      this.memory.buckets[bucket]!.gradients.values.fill(0);
      this.complete(bucket);
    });
  }

  /** @param values as many as the bucket has */
  add(bucket: number, values: Float32Array): void {
    const left = this.missing[bucket]!;
    if (left === 0) throw new InvariantError(`bucket ${bucket} has all of its gradients already`);
    const sum = this.memory.buckets[bucket]!.gradients.values;
    if (this.begun[bucket]) for (let i = 0; i < sum.length; i++) sum[i]! += values[i]!;
    else sum.set(values);
    this.begun[bucket] = true;
    this.missing[bucket] = left - 1;
    if (left === 1) this.complete(bucket);
  }
}
