import type { Seconds } from './units.js';

/** Where time comes from. Tests pass a fake one. */
export interface Clock {
  /** Seconds since an arbitrary point; never goes back. */
  monotonic(): Seconds;
  /** Milliseconds since 1970, for time stamps that people read. */
  epochMs(): number;
  /** Calls back once after `seconds`; the returned function cancels it. The timer does not keep the process alive. */
  after(seconds: Seconds, callback: () => void): () => void;
}

export const systemClock: Clock = {
  monotonic: () => performance.now() / 1000,
  epochMs: () => Date.now(),
  after: (seconds, callback) => {
    const timer = setTimeout(callback, seconds * 1000);
    timer.unref();
    return () => clearTimeout(timer);
  },
};
