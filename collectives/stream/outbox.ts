import type { Seconds } from '../../base/index.js';
import { CollectiveUsageError, type CollectiveError } from '../errors.js';
import { LANE_THRESHOLD_BYTES } from '../communicator/options.js';
import { FrameKind, payloadChecksum, type FrameHeader } from '../frame/header.js';
import type { Edge, Member, Transport } from '../transport/transport.js';
import { FlowMeter, type Flow } from './flow.js';
import { Link } from './link.js';
import { checkStream, DEFAULT_STREAM, purposeOf, type StreamOptions } from './options.js';
import { ParcelQueues, type Parcel } from './queues.js';
import { describeMessage, mistakeInMessage, sameTag, type MessageTag } from './tag.js';
import { pieceFields, readGrant } from './wire.js';

export interface OutboxOptions extends Partial<StreamOptions> {
  readonly transport: Transport;
  /** The receiver, and where it listens. */
  readonly to: number;
  readonly address: string;
  /** Tells several streams between the same two ranks apart; the receiver gives the same. */
  readonly name?: string;
  readonly joinTimeout?: Seconds;
}

type Grant = ReturnType<typeof readGrant>;

/** A piece on its way. */
interface Flying {
  readonly parcel: Parcel;
  readonly slot: number | undefined;
  readonly last: boolean;
}

/**
 * The sender's end of a one-way stream of messages from this rank to another.
 *
 * A message travels when the receiver has asked for it, so that it goes straight to its place and nobody holds it
 * meanwhile; a receiver that asks early loses no time by that. Messages of one channel are delivered in the order
 * of the calls, those of several channels in the order in which they can go, none waiting for another channel's.
 *
 * `send` resolves when the receiver has acknowledged every byte, each checked against a CRC-32. It rejects with
 * CollectiveError, and with it every other message in flight or to come, at both ends. Nothing waits for ever, and
 * no call blocks the event loop for longer than it takes to copy one window.
 */
export class Outbox {
  /** The receiver. */
  readonly peer: number;
  /** Resolves with the error when the stream fails; stays pending while it works and after an orderly close. */
  readonly failure: Promise<CollectiveError>;
  private readonly parcels = new ParcelQueues<Parcel>();
  /** What the receiver has asked for and nobody has sent yet, by channel, in order. */
  private readonly grants = new Map<string, Grant[]>();
  private grantCount = 0;
  /** Asked for and given, in the order in which they go, the first perhaps in part. */
  private readonly ready: Parcel[] = [];
  private readonly flying: Flying[] = [];
  private readonly freeSlots: number[];
  private readonly window: number;
  private readonly pieceBytes: number;
  private readonly link: Link<Parcel>;
  private readonly meter = new FlowMeter();
  /** Pieces sent and acknowledged so far, modulo 2^32. */
  private sent = 0;
  private acknowledged = 0;

  /** @throws TransportError `refused` or `handshake_timeout`, naming the receiver */
  static async open(given: OutboxOptions): Promise<Outbox> {
    const { transport, to, address, name, joinTimeout = 30 } = given;
    const options = { ...DEFAULT_STREAM, ...given };
    checkStream(options);
    const edge = await transport.connect(to, address, joinTimeout, purposeOf(name));
    return new Outbox(edge, transport.member, options);
  }

  private constructor(
    edge: Edge,
    private readonly member: Member,
    private readonly options: StreamOptions,
  ) {
    this.peer = edge.peer;
    // No more pieces on their way than slots: one is always free.
    this.window = Math.min(options.window, edge.lane?.slots ?? Infinity);
    this.freeSlots = Array.from({ length: edge.lane ? this.window : 0 }, (_, slot) => slot);
    this.pieceBytes = Math.min(options.maxPieceBytes, edge.lane?.slotBytes ?? Infinity);
    this.link = new Link(edge, member, options, {
      name: `the stream to rank ${edge.peer}`,
      parcels: this.parcels,
      frame: (header, payload) => this.hear(header, payload),
      awaited: (parcel) => awaited(parcel),
    });
    this.failure = this.link.failed;
  }

  /**
   * Sends a message. Its bytes must not change until the promise is settled.
   * @throws CollectiveError, as a rejection; CollectiveUsageError for a tag or a size that cannot be, too many
   *   messages that wait, or a closed stream
   */
  send(tag: MessageTag, bytes: Uint8Array): Promise<void> {
    const mistake = this.mistakeIn(tag, bytes);
    if (mistake !== undefined)
      return Promise.reject(new CollectiveUsageError(mistake, { ...tag, rank: this.member.rank }));
    if (this.link.failure) return Promise.reject(this.link.failure);
    return new Promise((resolve, reject) => {
      const parcel = { tag: { ...tag }, bytes, resolve, reject, grant: undefined, moved: 0, pieces: 0 };
      this.parcels.add(parcel, this.link.now);
      this.link.guarded(() => {
        this.match(tag.channel);
        this.advance();
      });
    });
  }

  /** How messages have got there so far; undefined before the first. */
  get flow(): Flow | undefined {
    return this.meter.flow;
  }

  /** Gives up all that is in flight, at both ends. An error of another stream or ring passes on whom it blames. */
  abort(reason: string | CollectiveError): void {
    this.link.abort(reason);
  }

  /** Leaves, in order, after the last message; one in flight is given up. Resolves within about two seconds. */
  close(): Promise<void> {
    return this.link.close();
  }

  /** Brings together what is given on a channel with what is asked for, in order. */
  private match(channel: string): void {
    const asked = this.grants.get(channel);
    const queue = this.parcels.of(channel);
    if (!asked || !queue) return;
    const from = queue.parcels.findIndex((parcel) => parcel.grant === undefined);
    if (from < 0) return;
    for (const parcel of queue.parcels.slice(from, from + asked.length)) {
      const { id, tag, bytes } = asked.shift()!;
      this.grantCount--;
      if (!sameTag(tag, parcel.tag) || bytes !== parcel.bytes.length) {
        const what = `rank ${this.peer} asked for ${describeMessage(tag, bytes)} where rank ${this.member.rank} sends ${describeMessage(parcel.tag, parcel.bytes.length)}`;
        this.link.fail({ fault: 'mismatch', what, expectedRank: this.peer, parcel });
        return;
      }
      parcel.grant = id;
      this.ready.push(parcel);
      this.meter.started(this.link.now);
      queue.movedAt = this.link.now;
    }
    if (asked.length === 0) this.grants.delete(channel);
  }

  private advance(): void {
    for (let parcel = this.ready[0]; parcel && this.flying.length < this.window; parcel = this.ready[0]) {
      this.sendPiece(parcel);
      if (parcel.moved === parcel.bytes.length) this.ready.shift();
    }
  }

  private sendPiece(parcel: Parcel): void {
    const { bytes, moved, pieces, grant = 0 } = parcel;
    const payload = bytes.subarray(moved, moved + this.pieceBytes);
    const { lane } = this.link.edge;
    const slot = lane && payload.length >= LANE_THRESHOLD_BYTES ? this.freeSlots.pop() : undefined;
    const last = moved + payload.length === bytes.length;
    this.sent = (this.sent + 1) >>> 0;
    const confirm = last || this.sent % Math.ceil(this.window / 2) === 0;
    const fields = pieceFields({ grant, piece: pieces, bytes: bytes.length, confirm, slot });
    // The checksum first: it brings into the cache what is then copied.
    if (lane && slot !== undefined) {
      const checksum = payloadChecksum(payload);
      lane.write(slot, payload);
      this.link.sendLane(fields, payload.length, checksum);
    } else {
      this.link.send(fields, payload);
    }
    this.flying.push({ parcel, slot, last });
    parcel.moved += payload.length;
    parcel.pieces++;
  }

  private hear(header: Readonly<FrameHeader>, payload: Uint8Array): string | undefined {
    if (header.kind === FrameKind.grant) return this.granted(readGrant(header, payload));
    if (header.kind === FrameKind.acknowledge) return this.confirmed(header.piece);
    return 'a piece of a message against the direction of the stream';
  }

  private granted(grant: Grant): string | undefined {
    const { channel } = grant.tag;
    if (this.grantCount >= this.options.maxWaiting) {
      return `more than ${this.options.maxWaiting} requests for messages that were not sent`;
    }
    const asked = this.grants.get(channel) ?? [];
    asked.push(grant);
    this.grantCount++;
    this.grants.set(channel, asked);
    this.match(channel);
    this.advance();
    return undefined;
  }

  private confirmed(consumed: number): string | undefined {
    const count = (consumed - this.acknowledged) >>> 0;
    if (count === 0 || count > this.flying.length) {
      return `an acknowledgement of ${count} pieces where ${this.flying.length} were on their way`;
    }
    this.acknowledged = consumed;
    const done: Parcel[] = [];
    for (const { parcel, slot, last } of this.flying.splice(0, count)) {
      if (slot !== undefined) this.freeSlots.push(slot);
      this.parcels.moved(parcel, this.link.now);
      if (!last) continue;
      this.parcels.finish(parcel);
      done.push(parcel);
    }
    this.advance();
    done.forEach(({ bytes }, i) => {
      const more = i < done.length - 1 || this.flying.length > 0;
      this.meter.arrived(bytes.length, more, this.link.now);
    });
    for (const parcel of done) parcel.resolve();
    return undefined;
  }

  private mistakeIn(tag: MessageTag, bytes: Uint8Array): string | undefined {
    if (this.link.closed) return `the stream to rank ${this.peer} is closed`;
    if (this.parcels.count >= this.options.maxWaiting)
      return `${this.parcels.count} messages to rank ${this.peer} wait already: await some before sending more`;
    return mistakeInMessage(tag, bytes.length);
  }
}

function awaited({ grant, moved, bytes }: Parcel): string {
  if (grant === undefined) return 'its request for the message';
  return `its acknowledgement (${moved} of ${bytes.length} bytes were sent)`;
}
