import type { Clock, Seconds } from '../../../base/index.js';

/** A clock that stands still until a test moves it. */
export class FakeClock implements Clock {
  private now: Seconds = 100;
  private timers: { at: Seconds; callback: () => void }[] = [];

  monotonic(): Seconds {
    return this.now;
  }

  epochMs(): number {
    return 1_700_000_000_000 + this.now * 1000;
  }

  after(seconds: Seconds, callback: () => void): () => void {
    const timer = { at: this.now + seconds, callback };
    this.timers.push(timer);
    return () => {
      this.timers = this.timers.filter((other) => other !== timer);
    };
  }

  /** Moves on, ringing each timer at its time. */
  advance(seconds: Seconds): void {
    const end = this.now + seconds;
    for (;;) {
      const next = this.timers.filter((timer) => timer.at <= end).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.now = Math.max(this.now, next.at);
      this.timers = this.timers.filter((timer) => timer !== next);
      next.callback();
    }
    this.now = end;
  }

  /** Moves on without any timer ringing on the way: the process was stopped, or busy. */
  jump(seconds: Seconds): void {
    this.now += seconds;
    this.advance(0);
  }
}
