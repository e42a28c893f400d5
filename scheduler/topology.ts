import { DEFAULT_LINK, DEFAULT_LOCAL_LINK, type Link, type Topology } from './device.js';

/** A link between two hosts, or, with one host twice, between devices of one host. */
export interface MeasuredLink extends Link {
  readonly between: readonly [string, string];
}

/**
 * What the planner may rely on, given the links that were measured. Where a pair of hosts was not, the worst host's best
 * link is assumed: a host reaches nobody faster than by its best link, so no such pair is overrated as long as that link
 * is as fast as the host's connection. Within a host, the slowest of those that were measured counts.
 */
export function topologyOf(measured: readonly MeasuredLink[]): Topology {
  const links = measured.filter(({ between: [a, b] }) => a !== b);
  const local = measured.filter(({ between: [a, b] }) => a === b);
  const best = new Map<string, Link>();
  for (const link of links) {
    for (const host of link.between) best.set(host, better(link, best.get(host) ?? link));
  }
  const worst = worstOf([...best.values()]);
  const localLink = worstOf(local);
  return {
    links: links.map(({ between, bandwidthBytesPerSecond, latencySeconds }) => ({
      between,
      bandwidthBytesPerSecond,
      latencySeconds,
    })),
    ...(worst ? { defaultLink: worst } : {}),
    ...(localLink ? { localLink } : {}),
  };
}

/** What the planner counts on between devices of two hosts, or of one. */
export function linkBetween({ links, defaultLink, localLink }: Topology, from: string, to: string): Link {
  if (from === to) return localLink ?? DEFAULT_LOCAL_LINK;
  const named = links.find(({ between }) => between.includes(from) && between.includes(to));
  return named ?? defaultLink ?? DEFAULT_LINK;
}

/** The better figures of two links, each by itself. */
function better(a: Link, b: Link): Link {
  return {
    bandwidthBytesPerSecond: Math.max(a.bandwidthBytesPerSecond, b.bandwidthBytesPerSecond),
    latencySeconds: Math.min(a.latencySeconds, b.latencySeconds),
  };
}

function worstOf(links: readonly Link[]): Link | undefined {
  if (links.length === 0) return undefined;
  return {
    bandwidthBytesPerSecond: Math.min(...links.map((link) => link.bandwidthBytesPerSecond)),
    latencySeconds: Math.max(...links.map((link) => link.latencySeconds)),
  };
}
