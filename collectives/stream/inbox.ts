import type { Seconds } from '../../base/index.js';
import { CollectiveUsageError, FrameError, type CollectiveError } from '../errors.js';
import { FrameKind, payloadChecksum, type FrameHeader } from '../frame/header.js';
import type { Edge, Member, Transport } from '../transport/transport.js';
import { Link } from './link.js';
import { checkStream, DEFAULT_STREAM, purposeOf, type StreamOptions } from './options.js';
import { ParcelQueues, type Parcel } from './queues.js';
import { describeMessage, mistakeInMessage, type MessageTag } from './tag.js';
import { acknowledgeFields, grantFields, readPiece } from './wire.js';

export interface InboxOptions extends Partial<StreamOptions> {
  readonly transport: Transport;
  /** The sender. */
  readonly from: number;
  /** Tells several streams between the same two ranks apart; the sender gives the same. */
  readonly name?: string;
  readonly joinTimeout?: Seconds;
}

/** A message that was asked for: its grant is known from the start. */
interface Asked extends Parcel {
  grant: number;
}

const NOTHING = new Uint8Array(0);

/**
 * The receiver's end of a one-way stream of messages from another rank to this one (see Outbox). Asking is what
 * lets a message come: ask early, as soon as there is a place for it. It is written to its place as it comes, so
 * nothing is held here besides the pieces that the network itself delivers.
 */
export class Inbox {
  /** The sender. */
  readonly peer: number;
  /** Resolves with the error when the stream fails; stays pending while it works and after an orderly close. */
  readonly failure: Promise<CollectiveError>;
  private readonly parcels = new ParcelQueues<Asked>();
  private readonly asked = new Map<number, Asked>();
  private readonly link: Link<Asked>;
  private nextGrant = 0;
  /** Pieces consumed so far, modulo 2^32. */
  private consumed = 0;

  /** @throws TransportError `handshake_timeout`, naming the sender */
  static async open(given: InboxOptions): Promise<Inbox> {
    const { transport, from, name, joinTimeout = 30 } = given;
    const options = { ...DEFAULT_STREAM, ...given };
    checkStream(options);
    const edge = await transport.accept(from, joinTimeout, purposeOf(name));
    return new Inbox(edge, transport.member, options);
  }

  private constructor(
    edge: Edge,
    private readonly member: Member,
    private readonly options: StreamOptions,
  ) {
    this.peer = edge.peer;
    this.link = new Link(edge, member, options, {
      name: `the stream from rank ${edge.peer}`,
      parcels: this.parcels,
      frame: (header, payload) => this.hear(header, payload),
      awaited: ({ moved, bytes }) =>
        moved === 0 ? 'the message' : `the rest of it (${moved} of ${bytes.length} bytes have come)`,
    });
    this.failure = this.link.failed;
  }

  /**
   * Fills `into`, which has exactly the message's length, and must be left alone until the promise is settled.
   * Resolves when all of it is there and was checked. Messages of one channel are asked for in the order in which
   * they are sent; a tag or a length that the sender does not have next on that channel fails the stream.
   * @throws CollectiveError, as a rejection: `into` then holds unspecified bytes; CollectiveUsageError for a tag or
   *   a size that cannot be, too many messages that wait, or a closed stream
   */
  receive(tag: MessageTag, into: Uint8Array): Promise<void> {
    const mistake = this.mistakeIn(tag, into);
    if (mistake !== undefined)
      return Promise.reject(new CollectiveUsageError(mistake, { ...tag, rank: this.member.rank }));
    if (this.link.failure) return Promise.reject(this.link.failure);
    const grant = this.nextGrant;
    this.nextGrant = (grant + 1) >>> 0;
    return new Promise((resolve, reject) => {
      const parcel = { tag: { ...tag }, bytes: into, resolve, reject, grant, moved: 0, pieces: 0 };
      this.parcels.add(parcel, this.link.now);
      this.asked.set(grant, parcel);
      this.link.guarded(() =>
        this.link.send(grantFields(grant, tag, into.length), Buffer.from(tag.channel, 'utf8')),
      );
    });
  }

  /** Gives up all that is in flight, at both ends. An error of another stream or ring passes on whom it blames. */
  abort(reason: string | CollectiveError): void {
    this.link.abort(reason);
  }

  /** Leaves, in order, after the last message; one in flight is given up. Resolves within about two seconds. */
  close(): Promise<void> {
    return this.link.close();
  }

  private hear(header: Readonly<FrameHeader>, payload: Uint8Array): string | undefined {
    if (header.kind !== FrameKind.data && header.kind !== FrameKind.lane) {
      return 'an acknowledgement or a request against the direction of the stream';
    }
    const piece = readPiece(header);
    const parcel = this.asked.get(piece.grant);
    const size = header.payloadBytes;
    if (!parcel || this.parcels.of(parcel.tag.channel)?.oldest !== parcel) {
      return `a piece of ${size} bytes under request ${piece.grant}, which was not due`;
    }
    const { bytes, moved, pieces, tag } = parcel;
    const left = bytes.length - moved;
    if (piece.bytes !== bytes.length || piece.piece !== pieces || size > left || (size === 0 && left > 0)) {
      return (
        `piece ${piece.piece} (${size} bytes) of a message of ${piece.bytes} bytes; ` +
        `expected piece ${pieces}, at most ${left} bytes, of ${describeMessage(tag, bytes.length)}`
      );
    }
    const target = bytes.subarray(moved, moved + size);
    if (piece.slot === undefined) target.set(payload);
    else this.readLane(piece.slot, header, target);
    this.advance(parcel, size, piece.confirm);
    return undefined;
  }

  private advance(parcel: Asked, size: number, confirm: boolean): void {
    parcel.moved += size;
    parcel.pieces++;
    this.consumed = (this.consumed + 1) >>> 0;
    this.parcels.moved(parcel, this.link.now);
    const complete = parcel.moved === parcel.bytes.length;
    if (confirm || complete) this.link.send(acknowledgeFields(this.consumed), NOTHING);
    if (!complete) return;
    this.parcels.finish(parcel);
    this.asked.delete(parcel.grant);
    parcel.resolve();
  }

  /** Reads a piece from the lane to its place, and checks it there. */
  private readLane(slot: number, header: Readonly<FrameHeader>, target: Uint8Array): void {
    this.link.edge.lane?.read(slot, target);
    if (this.link.edge.lane && payloadChecksum(target) === header.payloadChecksum) return;
    const what = `the payload of frame ${header.sequence}, in slot ${slot} of the lane, does not match its CRC-32`;
    throw new FrameError('corrupt_payload', `from rank ${this.peer}: ${what}`);
  }

  private mistakeIn(tag: MessageTag, into: Uint8Array): string | undefined {
    if (this.link.closed) return `the stream from rank ${this.peer} is closed`;
    if (this.parcels.count >= this.options.maxWaiting)
      return `${this.parcels.count} messages from rank ${this.peer} are asked for already: await some first`;
    return mistakeInMessage(tag, into.length);
  }
}
