import type { Bytes } from '../../base/index.js';

/** Which message of a stream: both ends say it, and nothing is handed over where they differ. */
export interface MessageTag {
  /**
   * Messages of one channel are received in the order sent; channels do not wait for each other. A name such as
   * `0>1`, the same at both ends; at most 200 bytes in UTF-8.
   */
  readonly channel: string;
  /** These three are the caller's own, whole numbers below 2^32; they need not rise. */
  readonly step: number;
  readonly microBatch: number;
  readonly part: number;
}

const MAX_CHANNEL_BYTES = 200;
const WORD = 2 ** 32;

/** Why such a message cannot be; undefined when it can. */
export function mistakeInMessage(tag: MessageTag, bytes: Bytes): string | undefined {
  const { channel } = tag;
  if (channel.length === 0 || Buffer.byteLength(channel) > MAX_CHANNEL_BYTES) {
    return `a channel's name has 1 to ${MAX_CHANNEL_BYTES} bytes, not ${Buffer.byteLength(channel)}`;
  }
  for (const key of ['step', 'microBatch', 'part'] as const) {
    if (!Number.isInteger(tag[key]) || tag[key] < 0 || tag[key] >= WORD)
      return `${key} ${tag[key]} is not a whole number below 2^32`;
  }
  return bytes >= WORD ? `${bytes} bytes: a message has less than 4 GiB` : undefined;
}

export function sameTag(a: MessageTag, b: MessageTag): boolean {
  return a.channel === b.channel && a.step === b.step && a.microBatch === b.microBatch && a.part === b.part;
}

export function describeMessage(tag: MessageTag, bytes: Bytes): string {
  const { channel, step, microBatch, part } = tag;
  return `${channel} step ${step}, micro-batch ${microBatch}, part ${part} (${bytes} bytes)`;
}
