import type { Share } from '../../data/index.js';

/** Samples that go from a replica of one stage to a replica of the next: positions in the batch, half-open. */
export interface Route {
  /** Index among the replicas of the stage that makes the values. */
  readonly producer: number;
  /** Index among the replicas of the stage that uses them. */
  readonly consumer: number;
  readonly start: number;
  readonly end: number;
  /** The consumer's first: what does not depend on the samples comes this way, and its gradient goes back. */
  readonly first: boolean;
}

/** One end of a route, as the rank at the other end sees it: samples [from, to) of its own part. */
export interface Hop {
  /** The rank at the far end. */
  readonly peer: number;
  readonly from: number;
  readonly to: number;
  readonly first: boolean;
}

/**
 * How the samples of a micro-batch get from the replicas of a stage to those of the next. Both cover the same range,
 * in the order of the replicas. O(producers + consumers).
 */
export function routesOf(producers: readonly Share[], consumers: readonly Share[]): readonly Route[] {
  const routes: Route[] = [];
  let producer = 0;
  for (const [consumer, { start: from, end: to }] of consumers.entries()) {
    for (let start = from; start < to;) {
      while (producers[producer]!.end <= start) producer++;
      const end = Math.min(to, producers[producer]!.end);
      routes.push({ producer, consumer, start, end, first: start === from });
      start = end;
    }
  }
  return routes;
}

/**
 * The routes that end at a replica, as it sees them.
 * @param role which end of them it is
 * @param replica its index among those of its stage
 * @param ranks of the replicas at the other end
 */
export function hopsOf(
  routes: readonly Route[],
  role: 'producer' | 'consumer',
  replica: number,
  own: Share,
  ranks: readonly number[],
): readonly Hop[] {
  const far = role === 'producer' ? 'consumer' : 'producer';
  return routes
    .filter((route) => route[role] === replica)
    .map((route) => {
      const { start, end, first } = route;
      return { peer: ranks[route[far]]!, from: start - own.start, to: end - own.start, first };
    });
}
