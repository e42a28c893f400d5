import type { Clock, Seconds } from '../../../base/index.js';

/** Time that passes when told to. */
export class FakeClock implements Clock {
  private now: Seconds = 0;
  private readonly timers = new Set<{ at: Seconds; callback: () => void }>();

  monotonic(): Seconds {
    return this.now;
  }

  epochMs(): number {
    return this.now * 1000;
  }

  after(seconds: Seconds, callback: () => void): () => void {
    const timer = { at: this.now + seconds, callback };
    this.timers.add(timer);
    return () => this.timers.delete(timer);
  }

  /** Lets time pass and calls back whatever becomes due, in order. */
  advance(seconds: Seconds): void {
    const end = this.now + seconds;
    for (;;) {
      let next: { at: Seconds; callback: () => void } | undefined;
      for (const timer of this.timers) if (timer.at <= end && (!next || timer.at < next.at)) next = timer;
      if (!next) break;
      this.timers.delete(next);
      this.now = Math.max(this.now, next.at);
      next.callback();
    }
    this.now = end;
  }
}

/** Lets the event loop turn, so that what is on its way in memory arrives. */
export async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}
