import type { Communicator } from '../../collectives/index.js';
import type { RunPlan } from '../../protocol/index.js';
import { Optimizer, type Settings } from '../optimizer/index.js';
import { agree, type AgreementPlan } from './agreement.js';
import type { RankMemory } from './rank-memory.js';
import type { Rings } from './rings.js';
import type { Updated } from './updating.js';

type UpdatePlan = AgreementPlan & {
  readonly pipeline: Pick<RunPlan['pipeline'], 'shardOptimizer'>;
};

/**
 * From each rank's gradients to everybody's new parameters: gradients are summed over the ring of each bucket, all
 * ranks agree on the loss and the norm, and each updates its shard (ZeRO-1) or all of the bucket.
 */
export class Update {
  /** One for each of the settings. */
  private readonly optimizers: readonly Optimizer[];
  private reductions: Promise<void>[] = [];
  /** Buckets that are complete while one before them in their ring is not. */
  private readonly early = new Set<number>();
  /** Buckets that have not set out yet, by ring, in order. */
  private waiting: Map<Communicator, number[]>;

  constructor(
    private readonly plan: UpdatePlan,
    private readonly memory: RankMemory,
    private readonly rings: Rings,
    private readonly settings: readonly Settings[],
  ) {
    this.optimizers = settings.map(({ rule }) => new Optimizer(rule, memory.arena.memory));
    this.waiting = this.order();
  }

  private order(): Map<Communicator, number[]> {
    const order = new Map<Communicator, number[]>();
    for (const bucket of this.memory.buckets.keys()) {
      const ring = this.rings.of(bucket);
      order.set(ring, [...(order.get(ring) ?? []), bucket]);
    }
    return order;
  }

  /**
   * A bucket's gradients are complete on this rank: their sum sets out, after those of the buckets before it in its
   * ring. Ranks whose stages complete them in another order, or all at once, so agree on one.
   */
  reduce(bucket: number): void {
    const ring = this.rings.of(bucket);
    const waiting = this.waiting.get(ring)!;
    this.early.add(bucket);
    for (let next = waiting[0]; next !== undefined && this.early.delete(next); next = waiting[0]) {
      waiting.shift();
      this.start(ring, next);
    }
  }

  private start(ring: Communicator, bucket: number): void {
    const { gradients } = this.memory.buckets[bucket]!;
    const reduction = this.plan.pipeline.shardOptimizer
      ? ring.reduceScatter(gradients)
      : ring.allReduce(gradients);
    reduction.catch(() => undefined); // awaited by `finish`; must not count as unhandled until then
    this.reductions.push(reduction);
  }

  /**
   * Ends step number `step` (from 0), once `reduce` was called for every bucket. All ranks call it.
   * @param loss this rank's part of the mean loss
   * @param publish called for each bucket when its new parameters are there; awaited
   * @throws DivergedError when loss or gradient leave the reals; the parameters are then those before the step
   * @throws CollectiveError when a ring fails; likewise
   */
  async finish(step: number, loss: number, publish: (bucket: number) => Promise<void>): Promise<Updated> {
    const { reductions } = this;
    this.reductions = [];
    this.waiting = this.order();
    await Promise.all(reductions);
    const { scalars, ...updated } = await agree(this.rings.world, this.plan, this.settings, {
      step,
      loss,
      squares: this.sumOfSquares(),
    });
    await Promise.all(
      this.memory.buckets.map(async ({ updates, parameters }, bucket) => {
        for (const { shard, group } of updates) this.optimizers[group]!.update(shard, scalars[group]!);
        // never rounded to a 16-bit wire: small updates of large parameters would be lost
        if (this.plan.pipeline.shardOptimizer)
          await this.rings.of(bucket).allGather(parameters, { wire: 'float32' });
        await publish(bucket);
      }),
    );
    return updated;
  }

  /** Of the gradients that this rank counts. */
  private sumOfSquares(): number {
    let squares = 0;
    for (const { counted } of this.memory.buckets)
      squares += this.optimizers[0]!.sumOfSquares(counted.gradients, counted.elements);
    return squares;
  }
}
