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

/** The routes that end at a consumer, as it sees them. @param ranks of the producers */
export function hopsUp(
  routes: readonly Route[],
  consumer: number,
  own: Share,
  ranks: readonly number[],
): readonly Hop[] {
  return routes
    .filter((route) => route.consumer === consumer)
    .map((route) => hop(route, own, ranks[route.producer]!));
}

/** The routes that begin at a producer, as it sees them. @param ranks of the consumers */
export function hopsDown(
  routes: readonly Route[],
  producer: number,
  own: Share,
  ranks: readonly number[],
): readonly Hop[] {
  return routes
    .filter((route) => route.producer === producer)
    .map((route) => hop(route, own, ranks[route.consumer]!));
}

function hop({ start, end, first }: Route, own: Share, peer: number): Hop {
  return { peer, from: start - own.start, to: end - own.start, first };
}
