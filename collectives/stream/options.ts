import { systemClock, type Bytes, type Clock, type Seconds } from '../../base/index.js';
import { CollectiveUsageError } from '../errors.js';
import { HEADER_BYTES } from '../frame/header.js';

/** How a stream uses memory and time. The two ends have to be given the same piece and `maxWaiting`. */
export interface StreamOptions {
  /**
   * The longest piece that a message is cut into; a frame carries one. At most what the transport lets through
   * (`maxMessageBytes`); where the edge has a lane, no more than one of its slots.
   */
  readonly maxPieceBytes: Bytes;
  /** Pieces, of all messages, that may be on their way to the receiver, unacknowledged. */
  readonly window: number;
  /** Messages that may wait at one end: a caller that goes on without awaiting any is told. */
  readonly maxWaiting: number;
  /** A channel on which something is waited for, and nothing happens for this long, fails the stream. */
  readonly deadline: Seconds;
  readonly clock: Clock;
}

export const DEFAULT_STREAM: StreamOptions = {
  maxPieceBytes: 256 * 2 ** 10,
  window: 16,
  maxWaiting: 4096,
  deadline: 60,
  clock: systemClock,
};

/** @throws CollectiveUsageError for sizes with which nothing could move */
export function checkStream(options: StreamOptions): void {
  const { deadline } = options;
  for (const key of ['maxPieceBytes', 'window', 'maxWaiting'] as const) {
    if (!Number.isInteger(options[key]) || options[key] < 1)
      throw new CollectiveUsageError(`a stream's ${key} is a whole number from 1 on, not ${options[key]}`);
  }
  if (!(deadline > 0)) throw new CollectiveUsageError(`a stream's deadline of ${deadline} s makes no sense`);
}

/** What the edge of a stream is for, as the handshake says it. */
export function purposeOf(name: string | undefined): string {
  return name === undefined ? 'stream' : `stream ${name}`;
}

/** The most that one stream's frames take, at either end, besides the messages' own memory. */
export function streamQueueBytes(options: Pick<StreamOptions, 'maxPieceBytes' | 'window'>): Bytes {
  return (options.maxPieceBytes + HEADER_BYTES) * options.window;
}
