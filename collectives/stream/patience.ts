import type { Seconds } from '../../base/index.js';
import type { StreamOptions } from './options.js';
import type { Parcel, ParcelQueues } from './queues.js';

export interface Impatient<P> {
  /** Asks the peer whether it is there. */
  ask(): void;
  /** Nothing has happened for `waited` seconds. */
  expire(parcel: P, waited: Seconds, answers: boolean): void;
}

/** How often, within a deadline, a silent peer is asked whether it is there. */
const ASKS = 4;

/**
 * Ends the wait on a channel where nothing happens for `deadline` seconds. As in a ring (communicator/watchdog.ts):
 * a peer that answers meanwhile (its process lives, it waits itself or still computes) gets the same time once
 * more, so that of a row of ranks which all wait, the one next to the silent rank gives up first and names it.
 */
export class Patience<P extends Parcel> {
  private cancel: (() => void) | undefined;
  private heardAt: Seconds = -Infinity;

  constructor(
    private readonly options: StreamOptions,
    private readonly parcels: ParcelQueues<P>,
    private readonly impatient: Impatient<P>,
  ) {}

  /** Goes on watching while something is waited for. Called after each change; cheap. */
  watch(): void {
    if (this.cancel !== undefined || this.parcels.count === 0) return;
    this.cancel = this.options.clock.after(this.options.deadline / ASKS, () => {
      this.cancel = undefined;
      this.look();
    });
  }

  /** The peer lives. */
  answered(): void {
    this.heardAt = this.options.clock.monotonic();
  }

  stop(): void {
    this.cancel?.();
    this.cancel = undefined;
  }

  private look(): void {
    const queue = this.parcels.stillest();
    if (queue?.oldest === undefined) return;
    const { deadline, clock } = this.options;
    const now = clock.monotonic();
    const waited = now - queue.movedAt;
    // Timers may fire a little early; half a tick of tolerance keeps the deadline from slipping by a whole one.
    const tolerance = deadline / ASKS / 2;
    if (waited + tolerance >= deadline) {
      const answers = now - this.heardAt <= (2 * deadline) / ASKS + tolerance;
      if (!answers || waited + tolerance >= 2 * deadline) {
        this.impatient.expire(queue.oldest, waited, answers);
        return;
      }
    }
    if (waited + tolerance >= deadline / ASKS) this.impatient.ask();
    this.watch();
  }
}
