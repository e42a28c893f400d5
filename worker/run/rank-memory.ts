import { Arena, shardBounds, type Allocation, type Bucket as Travelling } from '../../collectives/index.js';
import type { Tensor } from '../../graph/index.js';
import { spansWithin, stateNames, type Shard, type UpdateRule } from '../optimizer/index.js';
import { InvariantError } from '../../base/index.js';
import type { Bucket } from '../../scheduler/index.js';

/** One bucket in the arena: what travels and what is updated. */
export interface BucketMemory {
  readonly parameters: Travelling;
  readonly gradients: Travelling;
  /** The rank's own part: what it updates, and the optimizer's state for it. */
  readonly shard: Shard;
  /** The shard again, cut where the optimizer's settings change. */
  readonly updates: readonly { readonly shard: Shard; readonly group: number }[];
}

/**
 * A rank's parameters, gradients and optimizer state, bucket by bucket, in one arena. The state is that of the
 * rank's own shard only (ZeRO-1: Rajbhandari et al., 2020).
 */
export class RankMemory {
  readonly buckets: readonly BucketMemory[];

  /** @throws BudgetError when the arena has no room */
  constructor(
    readonly arena: Arena,
    private readonly layout: readonly Bucket[],
    rule: UpdateRule,
    worldSize: number,
    rank: number,
  ) {
    this.buckets = layout.map((bucket, index) => {
      const take = (what: string, elements: number): Allocation =>
        arena.allocate(`${what} ${index}`, 4 * elements);
      const own = shardBounds(bucket.length, worldSize, rank);
      const parameters = take('parameters', bucket.length);
      const gradients = take('gradients', bucket.length);
      const state = stateNames(rule).map((name) => take(name, own.end - own.start));
      const within = (start: number, end: number): Shard => ({
        elements: end - start,
        parameters: parameters.byteOffset + 4 * start,
        gradients: gradients.byteOffset + 4 * start,
        state: state.map((allocation) => allocation.byteOffset + 4 * (start - own.start)),
      });
      return {
        parameters: { id: index, values: arena.float32(parameters) },
        gradients: { id: index, values: arena.float32(gradients) },
        shard: within(own.start, own.end),
        updates: spansWithin(bucket.places, own).map(({ start, end, group }) => ({
          shard: within(start, end),
          group,
        })),
      };
    });
  }

  /** Bytes of arena that the buckets of a rank take. */
  static bytesFor(layout: readonly Bucket[], rule: UpdateRule, worldSize: number, rank: number): number {
    return layout.reduce((sum, bucket) => {
      const own = shardBounds(bucket.length, worldSize, rank);
      const state = stateNames(rule).length * Arena.sizeOf(Math.max(1, 4 * (own.end - own.start)));
      return sum + 2 * Arena.sizeOf(4 * bucket.length) + state;
    }, 0);
  }

  /** Sets the parameters to a model's. */
  load(tensors: ReadonlyMap<string, Tensor>): void {
    for (const { name, bucket, offset } of this.places()) {
      this.buckets[bucket]!.parameters.values.set(float32Of(name, tensors), offset);
    }
  }

  /** The parameters as tensors: views, valid until the next update. */
  tensors(): ReadonlyMap<string, Tensor> {
    return new Map(
      [...this.places()].map(({ name, type, bucket, offset, size }) => {
        const data = this.buckets[bucket]!.parameters.values.subarray(offset, offset + size);
        return [name, { dtype: 'float32', shape: type.shape, data }];
      }),
    );
  }

  private *places() {
    for (const bucket of this.layout) yield* bucket.places;
  }
}

/** The values of a parameter. */
export function float32Of(name: string, tensors: ReadonlyMap<string, Tensor>): Float32Array {
  const data = tensors.get(name)?.data;
  if (!(data instanceof Float32Array)) throw new InvariantError(`parameter "${name}" is not float32`);
  return data;
}
