import {
  Arena,
  shardBounds,
  type Allocation,
  type Bucket as Travelling,
  type Range,
} from '../../collectives/index.js';
import type { Tensor } from '../../graph/index.js';
import { spansWithin, stateNames, type Shard, type UpdateRule } from '../optimizer/index.js';
import type { Bucket } from '../../scheduler/index.js';
import { float32Of } from './bucket-values.js';

/** One bucket in the arena: what travels and what is updated. */
export interface BucketMemory {
  readonly parameters: Travelling;
  readonly gradients: Travelling;
  /** Of the reduced gradients the part that this rank counts for all of its ring: tiles the bucket over the ring. */
  readonly counted: { readonly gradients: number; readonly elements: number };
  /** What the rank updates, with the optimizer's state for it, cut where the optimizer's settings change. */
  readonly updates: readonly { readonly shard: Shard; readonly group: number }[];
}

/** Whose gradients a bucket's are summed with, and who updates it. */
export interface BucketRing {
  /** How many ranks hold the bucket, and this one's place among them. */
  readonly size: number;
  readonly rank: number;
  /** Names the bucket in its ring: the same on all that hold it. */
  readonly id: number;
}

/** How buckets are spread over ranks. */
export interface Spread {
  readonly ringOf: (bucket: number) => BucketRing;
  /** Whether each rank of a ring updates its own part alone (ZeRO-1: Rajbhandari et al., 2020), or all of the bucket. */
  readonly sharded: boolean;
  /** Gradients and state stay on the engine's device: the rank's memory has the parameters alone. Default false. */
  readonly onDevice?: boolean;
}

/**
 * A rank's parameters, gradients and optimizer state, bucket by bucket, in one arena. The state is that of what the rank
 * updates.
 */
export class RankMemory {
  readonly buckets: readonly BucketMemory[];

  /** @throws BudgetError when the arena has no room */
  constructor(
    readonly arena: Arena,
    private readonly layout: readonly Bucket[],
    rule: UpdateRule,
    spread: Spread,
  ) {
    this.buckets = layout.map((bucket, index) => {
      const take = (what: string, elements: number): Allocation =>
        arena.allocate(`${what} ${index}`, 4 * elements);
      const { id } = spread.ringOf(index);
      const own = ownPart(bucket, index, spread);
      const counted = countedPart(bucket, index, spread);
      const parameters = take('parameters', bucket.length);
      if (spread.onDevice) return parametersAlone({ id, values: arena.float32(parameters) });
      const gradients = take('gradients', bucket.length);
      const state = stateNames(rule).map((name) => take(name, own.end - own.start));
      const within = (start: number, end: number): Shard => ({
        elements: end - start,
        parameters: parameters.byteOffset + 4 * start,
        gradients: gradients.byteOffset + 4 * start,
        state: state.map((allocation) => allocation.byteOffset + 4 * (start - own.start)),
      });
      return {
        parameters: { id, values: arena.float32(parameters) },
        gradients: { id, values: arena.float32(gradients) },
        counted: {
          gradients: gradients.byteOffset + 4 * counted.start,
          elements: counted.end - counted.start,
        },
        updates: spansWithin(bucket.places, own).map(({ start, end, group }) => ({
          shard: within(start, end),
          group,
        })),
      };
    });
  }

  /** Bytes of arena that the buckets of a rank take. */
  static bytesFor(layout: readonly Bucket[], rule: UpdateRule, spread: Spread): number {
    return layout.reduce((sum, bucket, index) => {
      if (spread.onDevice) return sum + Arena.sizeOf(4 * bucket.length);
      const own = ownPart(bucket, index, spread);
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

function parametersAlone(parameters: Travelling): BucketMemory {
  const gradients = { id: parameters.id, values: new Float32Array(0) };
  return { parameters, gradients, counted: { gradients: 0, elements: 0 }, updates: [] };
}

function countedPart({ length }: Bucket, index: number, { ringOf }: Spread): Range {
  const { size, rank } = ringOf(index);
  return shardBounds(length, size, rank);
}

function ownPart(bucket: Bucket, index: number, spread: Spread): Range {
  return spread.sharded ? countedPart(bucket, index, spread) : { start: 0, end: bucket.length };
}
