import type { Communicator } from '../../collectives/index.js';
import type { BucketRing } from './rank-memory.js';

/** The rings that a rank is in. */
export interface Rings {
  /** All ranks of the run: losses, norms, barriers. */
  readonly world: Communicator;
  /** Those that hold a bucket: its gradients are summed over them, and its parameters gathered from them. */
  readonly of: (bucket: number) => Communicator;
}

/** One ring for everything: all ranks hold all of the model. */
export function worldRing(world: Communicator): Rings {
  return { world, of: () => world };
}

/** Every bucket in one ring. */
export function placeIn(
  { worldSize: size, rank }: Pick<Communicator, 'worldSize' | 'rank'>,
  bucket: number,
): BucketRing {
  return { size, rank, id: bucket };
}
