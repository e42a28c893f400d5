import type { Seconds } from '../../base/index.js';
import { topologyOf, type Link, type MeasuredLink, type Topology } from '../../scheduler/index.js';

/** Hosts with whom each host is measured: all of a small cluster, a sample of a large one. */
const PARTNERS = 8;
/** A measurement is repeated when it is this old. */
const FRESH_SECONDS: Seconds = 300;
/** A probe that failed is tried again after so long. */
const RETRY_SECONDS: Seconds = 60;

/** When a link was measured, in milliseconds since 1970. */
export interface DatedLink extends MeasuredLink {
  readonly measuredAtMs: number;
}

interface Pair {
  readonly between: readonly [string, string];
  measured: DatedLink | undefined;
  /** When it was tried last, on the monotonic clock. */
  triedAt: Seconds;
  failed: boolean;
}

/**
 * What is known of the links between hosts, and which one to measure next. Pure of timers and messages.
 *
 * A host that joins is paired with the eight hosts that have the fewest partners, so that a cluster of n hosts has at
 * most 8 n pairs, all of them where there are no more than nine hosts; a host of several devices is also paired with itself.
 */
export class Links {
  private readonly partners = new Map<string, Set<string>>();
  private readonly pairs = new Map<string, Pair>();

  /** A host has joined. @param local whether it has several devices */
  add(host: string, local: boolean): void {
    this.remove(host);
    const others = [...this.partners].sort(([, a], [, b]) => a.size - b.size).slice(0, PARTNERS);
    this.partners.set(host, new Set());
    for (const [other, theirs] of others) {
      theirs.add(host);
      this.partners.get(host)!.add(other);
      this.pair(other, host);
    }
    if (local) this.pair(host, host);
  }

  /** A host has left: what was measured of its links is dropped. */
  remove(host: string): void {
    for (const partner of this.partners.get(host) ?? []) this.partners.get(partner)!.delete(host);
    this.partners.delete(host);
    for (const [key, { between }] of this.pairs) if (between.includes(host)) this.pairs.delete(key);
  }

  /**
   * The pair to measure now: one that was never tried first, of the hosts of which least is known; then the one that was
   * tried longest ago, if that is long enough. O(pairs).
   * @param idle whether a host may be disturbed
   */
  due(idle: (host: string) => boolean, now: Seconds): readonly [string, string] | undefined {
    let best: Pair | undefined;
    let least = Infinity;
    for (const pair of this.pairs.values()) {
      const { between, triedAt, failed } = pair;
      if (now - triedAt < (failed ? RETRY_SECONDS : FRESH_SECONDS) || !between.every(idle)) continue;
      const order = triedAt === -Infinity ? this.known(between[0]) + this.known(between[1]) - 1e9 : triedAt;
      if (order < least) [best, least] = [pair, order];
    }
    return best?.between;
  }

  /** Notes the outcome of a probe. @param link undefined: it failed, and what was known before stays */
  note(between: readonly [string, string], link: Link | undefined, now: Seconds, epochMs: number): void {
    const pair = this.pairs.get(keyOf(between));
    if (!pair) return; // one of the two has left
    pair.triedAt = now;
    pair.failed = !link;
    if (link) pair.measured = { between, ...link, measuredAtMs: epochMs };
  }

  /** A run tells that a link is slower than what was known of it: that counts until the next probe, which is not due yet. */
  correct(between: readonly [string, string], link: Link, now: Seconds, epochMs: number): void {
    if (!between.every((host) => this.partners.has(host))) return; // one of the two has left
    if (!this.pairs.has(keyOf(between))) this.pair(...between);
    this.note(between, link, now, epochMs);
  }

  measured(): readonly DatedLink[] {
    return [...this.pairs.values()].flatMap(({ measured }) => (measured ? [measured] : []));
  }

  /** For the planner. */
  topology(): Topology {
    return topologyOf(this.measured());
  }

  private pair(a: string, b: string): void {
    const between = [a, b] as const;
    this.pairs.set(keyOf(between), { between, measured: undefined, triedAt: -Infinity, failed: false });
  }

  /** Links of a host that were measured. */
  private known(host: string): number {
    let count = 0;
    for (const partner of this.partners.get(host) ?? [])
      if (this.pairs.get(keyOf([host, partner]))?.measured) count++;
    return count;
  }
}

function keyOf([a, b]: readonly [string, string]): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
