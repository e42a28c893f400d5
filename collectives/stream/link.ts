import { reportOf, type Seconds } from '../../base/index.js';
import { Channel } from '../communicator/channel.js';
import { decodeAbort, encodeAbort } from '../communicator/notice.js';
import { TransportError, type CollectiveError } from '../errors.js';
import { FrameKind, HEADER_BYTES, type FrameFields, type FrameHeader } from '../frame/header.js';
import type { Edge, Member } from '../transport/transport.js';
import type { StreamOptions } from './options.js';
import { Patience } from './patience.js';
import type { Parcel, ParcelQueues } from './queues.js';
import { errorOf, faultOf, type StreamTrouble } from './report.js';
import { controlFields, isOfStream } from './wire.js';

const NOTHING = new Uint8Array(0);
/** How long the peer may take to confirm a goodbye before it counts as gone. */
const GOODBYE_SECONDS = 2;
/** Longer than any control frame's payload. */
const CONTROL_BYTES = 2 ** 14;

/** What differs between the two ends of a stream. */
export interface LinkEnd<P extends Parcel> {
  /** As in errors: "the stream to rank 3". */
  readonly name: string;
  readonly parcels: ParcelQueues<P>;
  /** A frame of this end's own: a grant, piece or acknowledgement. @returns what was wrong with it, if anything */
  frame(header: Readonly<FrameHeader>, payload: Uint8Array): string | undefined;
  /** What the oldest message of a channel waits for, as in "waited 3 s for its acknowledgement". */
  awaited(parcel: P): string;
}

/**
 * One end of a stream's edge, with what both ends do alike: control frames, leaving, deadlines, and giving up
 * everything, here and at the peer, on the first thing that is not as it has to be. The first error wins.
 */
export class Link<P extends Parcel> {
  /** Resolves with the error when the stream fails. */
  readonly failed: Promise<CollectiveError>;
  failure: CollectiveError | undefined;
  private readonly channel: Channel;
  private readonly patience: Patience<P>;
  private tellFailure: (error: CollectiveError) => void = () => undefined;
  private closing: Promise<void> | undefined;

  constructor(
    readonly edge: Edge,
    private readonly member: Member,
    private readonly options: StreamOptions,
    private readonly end: LinkEnd<P>,
  ) {
    this.failed = new Promise((resolve) => (this.tellFailure = resolve));
    const longest = Math.max(options.maxPieceBytes, edge.lane?.slotBytes ?? 0) + HEADER_BYTES;
    this.channel = new Channel(edge, member, longest + CONTROL_BYTES);
    this.patience = new Patience(options, end.parcels, {
      ask: () => this.control(FrameKind.ask),
      expire: (parcel, waited, answers) => this.expire(parcel, waited, answers),
    });
    this.channel.listen(
      (header, payload) => this.hear(header, payload),
      (error) => this.broken(error),
    );
  }

  get closed(): boolean {
    return this.closing !== undefined;
  }

  get now(): Seconds {
    return this.options.clock.monotonic();
  }

  /** @throws TransportError as `Edge.send` */
  send(fields: FrameFields, payload: Uint8Array): void {
    this.channel.send(fields, payload);
  }

  /** Announces a payload in the lane. @throws TransportError as `Edge.send` */
  sendLane(fields: FrameFields, payloadBytes: number, checksum: number): void {
    this.channel.sendLane(fields, payloadBytes, checksum);
  }

  /** Runs what a call or a frame sets off: its failure is the stream's, at both ends. Then goes on watching. */
  guarded(action: () => void): void {
    if (this.failure) return;
    try {
      action();
      if (this.channel.peerLeft) this.checkPeer();
      this.patience.watch();
    } catch (error) {
      this.fail({
        fault: faultOf(error),
        what: reportOf(error).message,
        parcel: this.oldest(),
        cause: error,
      });
    }
  }

  fail(trouble: StreamTrouble): void {
    if (this.failure || this.closed) return;
    const failure = errorOf(trouble, this.member, this.end.name);
    this.failure = failure;
    this.patience.stop();
    const { fault, what, expectedRank, origin = this.member.rank } = trouble;
    const notice = encodeAbort({ fault, origin, message: what, expectedRank });
    this.edge.abort(this.channel.message(controlFields(FrameKind.abort), notice));
    for (const parcel of this.end.parcels.drain()) parcel.reject(failure);
    this.tellFailure(failure);
  }

  /** Gives up, and passes on whom a failure elsewhere blames. */
  abort(reason: string | CollectiveError): void {
    const parcel = this.oldest();
    if (typeof reason === 'string') {
      this.fail({ fault: 'aborted', what: reason, parcel });
      return;
    }
    const { expectedRank, origin } = reason.ids;
    this.fail({ fault: reason.fault, what: reason.reason, expectedRank, origin, parcel, cause: reason });
  }

  /** Says goodbye; resolves when the peer has read it, is gone, or has not answered in time. */
  close(): Promise<void> {
    if (this.closing) return this.closing;
    if (this.failure) return Promise.resolve();
    if (this.end.parcels.count > 0) {
      this.abort('it was closed while messages were in flight');
      return Promise.resolve();
    }
    this.patience.stop();
    if (this.channel.peerLeft) this.channel.finish();
    else this.control(FrameKind.goodbye);
    this.closing = this.leave();
    return this.closing;
  }

  private async leave(): Promise<void> {
    const cancel = this.options.clock.after(GOODBYE_SECONDS, () => this.channel.finish());
    await this.channel.settled;
    cancel();
    this.edge.close();
  }

  private hear(header: Readonly<FrameHeader>, payload: Uint8Array): void {
    if (this.failure) return; // frames of a message that was being read when it failed
    if (!isOfStream(header)) {
      this.refuse('a frame of a ring: the two ends take this edge for different things');
      return;
    }
    switch (header.kind) {
      case FrameKind.abort: {
        const { fault, origin, expectedRank, message } = decodeAbort(payload);
        this.channel.finish();
        this.fail({ fault, what: message, origin, expectedRank, parcel: this.oldest() });
        return;
      }
      case FrameKind.goodbye:
        this.channel.peerLeft = true;
        this.control(FrameKind.farewell);
        this.guarded(() => undefined);
        return;
      case FrameKind.farewell:
        this.channel.finish();
        return;
      case FrameKind.ask:
        this.control(FrameKind.answer);
        return;
      case FrameKind.answer:
        this.patience.answered();
        return;
      case FrameKind.data:
      case FrameKind.lane:
      case FrameKind.acknowledge:
      case FrameKind.grant:
        this.guarded(() => {
          const wrong = this.end.frame(header, payload);
          if (wrong !== undefined) this.refuse(wrong);
        });
    }
  }

  private refuse(what: string): void {
    const { peer } = this.edge;
    const said = `rank ${peer} sent ${what}`;
    this.fail({ fault: 'mismatch', what: said, expectedRank: peer, parcel: this.oldest() });
  }

  /** After a goodbye nothing more comes: whoever still needs the peer can stop waiting. */
  private checkPeer(): void {
    const parcel = this.oldest();
    if (parcel === undefined) return;
    const { peer } = this.edge;
    this.fail({ fault: 'peer_left', what: `rank ${peer} has closed its end`, expectedRank: peer, parcel });
  }

  private expire(parcel: P, waited: Seconds, answers: boolean): void {
    const { peer } = this.edge;
    const state = answers ? 'it answers, but does not go on' : 'it does not answer';
    const what = `rank ${this.member.rank} waited ${waited.toFixed(1)} s for rank ${peer}, for ${this.end.awaited(parcel)}; ${state}`;
    this.fail({ fault: 'deadline', what, expectedRank: peer, parcel });
  }

  private control(kind: FrameKind): void {
    try {
      this.channel.send(controlFields(kind), NOTHING);
    } catch (error) {
      this.broken(error);
    }
  }

  private broken(error: unknown): void {
    this.channel.finish();
    if (this.channel.peerLeft && error instanceof TransportError) return;
    const what = reportOf(error).message;
    const { peer } = this.edge;
    this.fail({ fault: faultOf(error), what, expectedRank: peer, parcel: this.oldest(), cause: error });
  }

  private oldest(): P | undefined {
    return this.end.parcels.stillest()?.oldest;
  }
}
