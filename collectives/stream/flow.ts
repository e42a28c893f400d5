import type { Bytes, Seconds } from '../../base/index.js';

/** How messages got from one rank to another. */
export interface Flow {
  /** Of all messages, and the seconds in which one at least was on its way. */
  readonly bytes: Bytes;
  readonly seconds: Seconds;
  /**
   * A message as the link takes it when nothing else holds it up: one of the larger ones of late, and the seconds from when
   * it could go (or the one before it was there) until it was acknowledged.
   */
  readonly messageBytes: Bytes;
  readonly messageSeconds: Seconds;
}

/** So many messages of late are looked at: a link that turns slow, or fast again, shows after as many. */
const KEPT = 64;

/**
 * Times what a stream carries. A message is on its way from when both ends are there for it, so that waiting for a slow
 * sender or receiver does not count; one behind another counts from when that one was there.
 */
export class FlowMeter {
  private readonly recent: { readonly bytes: Bytes; readonly seconds: Seconds }[] = [];
  private next = 0;
  private bytes = 0;
  private seconds = 0;
  private since: Seconds | undefined;

  /** A message can go. */
  started(now: Seconds): void {
    this.since ??= now;
  }

  /** A message was acknowledged. @param more whether another one is on its way */
  arrived(bytes: Bytes, more: boolean, now: Seconds): void {
    const seconds = now - (this.since ?? now);
    this.since = more ? now : undefined;
    this.bytes += bytes;
    this.seconds += seconds;
    this.recent[this.next++ % KEPT] = { bytes, seconds };
  }

  /** So far; undefined before the first message. */
  get flow(): Flow | undefined {
    if (this.recent.length === 0) return undefined;
    const { bytes, seconds } = this;
    const largest = this.recent.reduce((most, each) => Math.max(most, each.bytes), 0);
    const telling = this.recent.filter((each) => 2 * each.bytes >= largest).sort((a, b) => rate(b) - rate(a));
    // what holds a message up now and then, as a busy processor does, is not the link: one of the better ones tells of it
    const message = telling[Math.floor(telling.length / 4)]!;
    return { bytes, seconds, messageBytes: message.bytes, messageSeconds: message.seconds };
  }
}

function rate({ bytes, seconds }: { readonly bytes: Bytes; readonly seconds: Seconds }): number {
  return bytes / Math.max(seconds, 1e-9);
}
