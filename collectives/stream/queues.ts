import type { Seconds } from '../../base/index.js';
import type { MessageTag } from './tag.js';

/** A message at one end, from the call to its end. */
export interface Parcel {
  readonly tag: MessageTag;
  /** What is sent, or filled. */
  readonly bytes: Uint8Array;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
  /** The grant under which it travels. */
  grant: number | undefined;
  /** How many of its bytes, and in how many pieces, were sent or have come. */
  moved: number;
  pieces: number;
}

/** What waits on one channel at one end, in order. */
export class ParcelQueue<P extends Parcel> {
  readonly parcels: P[] = [];

  constructor(
    readonly channel: string,
    /** When something last happened on this channel. */
    public movedAt: Seconds,
  ) {}

  get oldest(): P | undefined {
    return this.parcels[0];
  }
}

/** The channels on which something waits: one that is done with is forgotten, so that names do not pile up. */
export class ParcelQueues<P extends Parcel> {
  private readonly queues = new Map<string, ParcelQueue<P>>();
  /** Parcels on all channels. */
  count = 0;

  add(parcel: P, now: Seconds): ParcelQueue<P> {
    const { channel } = parcel.tag;
    const queue = this.queues.get(channel) ?? new ParcelQueue<P>(channel, now);
    this.queues.set(channel, queue);
    queue.parcels.push(parcel);
    this.count++;
    return queue;
  }

  of(channel: string): ParcelQueue<P> | undefined {
    return this.queues.get(channel);
  }

  /** Something happened on the parcel's channel. */
  moved(parcel: P, now: Seconds): void {
    const queue = this.queues.get(parcel.tag.channel);
    if (queue) queue.movedAt = now;
  }

  /** Takes out the oldest parcel of a channel, which is done. */
  finish(parcel: P): void {
    const { channel } = parcel.tag;
    const queue = this.queues.get(channel);
    queue?.parcels.shift();
    this.count--;
    if (queue?.parcels.length === 0) this.queues.delete(channel);
  }

  /** The channel on which nothing has happened for the longest. */
  stillest(): ParcelQueue<P> | undefined {
    let found: ParcelQueue<P> | undefined;
    for (const queue of this.queues.values()) if (!found || queue.movedAt < found.movedAt) found = queue;
    return found;
  }

  /** Takes everything out. */
  drain(): P[] {
    const all = [...this.queues.values()].flatMap((queue) => queue.parcels);
    this.queues.clear();
    this.count = 0;
    return all;
  }
}
