import type { Seconds } from '../../base/index.js';

export const HEARTBEAT_SECONDS: Seconds = 0.5;
export const LEASE_SECONDS: Seconds = 3;
/** How often leases are looked at. */
export const SWEEP_SECONDS: Seconds = 0.25;

/**
 * When each holder was last heard of. Pure of timers: the caller says what time it is.
 *
 * Only time in which the holder could be heard counts: when the sweep itself comes late (this process was busy or
 * stopped), heartbeats may lie unread in its sockets, so every lease is extended by the delay.
 */
export class Leases<Holder> {
  private readonly heard = new Map<Holder, Seconds>();
  private lastSweep: Seconds;

  constructor(now: Seconds) {
    this.lastSweep = now;
  }

  renew(holder: Holder, now: Seconds): void {
    this.heard.set(holder, now);
  }

  end(holder: Holder): void {
    this.heard.delete(holder);
  }

  /** Seconds since the holder was heard of. */
  age(holder: Holder, now: Seconds): Seconds {
    const heard = this.heard.get(holder);
    return heard === undefined ? Infinity : Math.max(0, now - heard);
  }

  /** The holders whose lease has run out; they hold none afterwards. */
  sweep(now: Seconds): Holder[] {
    const late = Math.max(0, now - this.lastSweep - 2 * SWEEP_SECONDS);
    this.lastSweep = now;
    const over: Holder[] = [];
    for (const [holder, heard] of this.heard) {
      if (late > 0) this.heard.set(holder, heard + late);
      else if (now - heard > LEASE_SECONDS) over.push(holder);
    }
    for (const holder of over) this.heard.delete(holder);
    return over;
  }
}
