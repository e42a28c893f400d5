import type { Bytes } from '../../base/index.js';
import { TransportError } from '../errors.js';
import { messageBytes, type Message } from './transport.js';

/** Messages that make no more than this are sent as one: waking the other side costs more than copying them. */
const TOGETHER_BYTES = 4096;

/** What an edge has accepted and not yet handed on: first in, first out, bounded in bytes. */
export class SendQueue {
  private readonly messages: Message[] = [];
  private bytes: Bytes = 0;

  constructor(
    private readonly highWaterBytes: Bytes,
    private readonly peer: number,
  ) {}

  get queuedBytes(): Bytes {
    return this.bytes;
  }

  get empty(): boolean {
    return this.messages.length === 0;
  }

  /** @throws TransportError `queue_full`; the message is then not queued */
  push(parts: Message): void {
    const size = messageBytes(parts);
    if (this.bytes + size > this.highWaterBytes) {
      throw new TransportError(
        'queue_full',
        `the queue towards rank ${this.peer} holds ${this.bytes} bytes; ${size} more would pass its limit of ${this.highWaterBytes}`,
        { ids: { peer: this.peer, queuedBytes: this.bytes, highWaterBytes: this.highWaterBytes } },
      );
    }
    this.messages.push(parts);
    this.bytes += size;
  }

  /** Takes the oldest message out. */
  take(): Message | undefined {
    const parts = this.messages.shift();
    if (parts) this.bytes -= messageBytes(parts);
    return parts;
  }

  /** Takes the oldest message, or as many of the oldest as are short together, as one message of one part. */
  takeTogether(): Message | undefined {
    const first = this.take();
    let bytes = first === undefined ? TOGETHER_BYTES : messageBytes(first);
    let following = 0;
    for (let i = 0; i < this.messages.length; i++) {
      bytes += messageBytes(this.messages[i]!);
      if (bytes > TOGETHER_BYTES) break;
      following++;
    }
    if (first === undefined || following === 0) return first;
    const parts = [...first];
    for (; following > 0; following--) parts.push(...(this.take() ?? []));
    return [Buffer.concat(parts)];
  }

  clear(): void {
    this.messages.length = 0;
    this.bytes = 0;
  }
}
