import { DEFAULT_LINK, DEFAULT_LOCAL_LINK, type Device, type Link, type Topology } from '../device.js';

/**
 * The worst links between sets of devices, each figure by itself: no message takes longer, and a link that gets faster
 * never makes it worse. A question takes O(devices asked about + named links).
 */
export class Network {
  readonly #links = new Map<string, Link & { readonly between: readonly [string, string] }>();
  readonly #default: Link;
  readonly #local: Link;

  constructor({ links, defaultLink = DEFAULT_LINK, localLink = DEFAULT_LOCAL_LINK }: Topology) {
    for (const link of links) this.#links.set([...link.between].sort().join('\n'), link);
    this.#default = defaultLink;
    this.#local = localLink;
  }

  /** Between any two of the devices. */
  among(devices: readonly Device[]): Link {
    const hosts = new Set(devices.map(({ host }) => host));
    const found: Link[] = hosts.size < devices.length ? [this.#local] : [];
    let named = 0;
    for (const link of this.#links.values()) {
      const [a, b] = link.between;
      if (a === b || !hosts.has(a) || !hosts.has(b)) continue;
      found.push(link);
      named++;
    }
    if (named < (hosts.size * (hosts.size - 1)) / 2) found.push(this.#default);
    return worstOf(found);
  }

  /** Between a device of one set and one of another. */
  across(one: readonly Device[], other: readonly Device[]): Link {
    const [from, to] = [one, other].map((devices) => new Set(devices.map(({ host }) => host)));
    const common = [...from!].filter((host) => to!.has(host)).length;
    const found: Link[] = common > 0 ? [this.#local] : [];
    let pairs = from!.size * to!.size - common;
    for (const link of this.#links.values()) {
      const [a, b] = link.between;
      const ways = (from!.has(a) && to!.has(b) ? 1 : 0) + (from!.has(b) && to!.has(a) ? 1 : 0);
      if (a === b || ways === 0) continue;
      found.push(link);
      pairs -= ways;
    }
    if (pairs > 0) found.push(this.#default);
    return worstOf(found);
  }
}

function worstOf(links: readonly Link[]): Link {
  let [bandwidthBytesPerSecond, latencySeconds] = [Infinity, 0];
  for (const link of links) {
    bandwidthBytesPerSecond = Math.min(bandwidthBytesPerSecond, link.bandwidthBytesPerSecond);
    latencySeconds = Math.max(latencySeconds, link.latencySeconds);
  }
  return { bandwidthBytesPerSecond, latencySeconds };
}
