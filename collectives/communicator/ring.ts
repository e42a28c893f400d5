import { reportOf } from '../../base/index.js';
import {
  CollectiveUsageError,
  FrameError,
  TransportError,
  type CollectiveError,
  type CollectiveFault,
} from '../errors.js';
import { FrameKind, type FrameHeader } from '../frame/header.js';
import type { Member } from '../transport/transport.js';
import type { Channel } from './channel.js';
import { decodeAbort, encodeAbort } from './notice.js';
import { EarlyFrames } from './early.js';
import { BLANK, fieldsOf } from './frames.js';
import type { Operation } from './operation.js';
import { LANE_THRESHOLD_BYTES, type RingOptions } from './options.js';
import { describeFrame, errorOf, expectedInsteadOf, type Trouble } from './report.js';
import { Watchdog } from './watchdog.js';

const NOTHING = new Uint8Array(0);
/** How long a neighbour may take to confirm a goodbye before it counts as gone. */
const GOODBYE_SECONDS = 2;

/**
 * Runs the collectives of one rank over its two channels: sends pieces to the right as soon as they hold their
 * values and the window allows, consumes and acknowledges what comes from the left, and gives everything up,
 * here and at both neighbours, on the first thing that is not as it has to be.
 *
 * Order: collectives are numbered as issued; their frames mix on a channel, each collective's own in order.
 * The first error wins: later ones are consequences.
 */
export class Ring {
  private readonly operations = new Map<number, Operation>();
  private readonly early: EarlyFrames;
  private readonly watchdog: Watchdog;
  private readonly ackEvery: number;
  private issued = 0;
  private failure: CollectiveError | undefined;
  private closed = false;

  constructor(
    private readonly member: Member,
    private readonly title: string,
    private readonly left: Channel,
    private readonly right: Channel,
    private readonly options: RingOptions,
    private readonly onFailure: (error: CollectiveError) => void,
  ) {
    this.early = new EarlyFrames(options);
    this.ackEvery = Math.max(1, options.window >> 1);
    this.watchdog = new Watchdog(options, member, left, right, {
      oldest: () => this.oldest(),
      ask: (channel) => this.control(channel, FrameKind.ask),
      expire: (operation, expectedRank, what) =>
        this.fail({ fault: 'deadline', operation, expectedRank, what }),
    });
    left.listen(
      (header, payload) => this.fromLeft(header, payload),
      (error) => this.channelFailed(left, error),
    );
    right.listen(
      (header, payload) => this.fromRight(header, payload),
      (error) => this.channelFailed(right, error),
    );
  }

  /** The number that the next collective gets. */
  get nextId(): number {
    return this.issued;
  }

  /** Starts a collective; it resolves or rejects through the operation. */
  issue(operation: Operation): void {
    if (this.failure) {
      operation.reject(this.failure);
      return;
    }
    if (this.closed) {
      operation.reject(new CollectiveUsageError('the communicator is closed', { rank: this.member.rank }));
      return;
    }
    this.issued++;
    this.operations.set(operation.id, operation);
    this.watchdog.progress(operation);
    this.guarded(operation, () => {
      for (const { header, payload } of this.early.take(operation.id))
        this.consume(operation, header, payload);
      this.checkNeighbours();
      this.advance();
    });
  }

  /** Whether it has failed: every call rejects with the reason. */
  get broken(): boolean {
    return this.failure !== undefined;
  }

  /** Gives up everything in flight, here and on the other ranks. */
  abort(reason: string | CollectiveError): void {
    const operation = this.oldest();
    if (typeof reason === 'string') {
      this.fail({ fault: 'aborted', what: reason, operation });
      return;
    }
    const { fault, reason: what, ids } = reason;
    const { expectedRank, origin } = ids;
    this.fail({ fault, what, expectedRank, origin, operation, cause: reason });
  }

  /**
   * Says goodbye to both neighbours and ends when both have read it (and so everything before it), are gone, or
   * have not answered in time. Collectives in flight are aborted.
   */
  async close(): Promise<void> {
    if (this.closed || this.failure) return;
    if (this.operations.size > 0) {
      this.abort('the communicator was closed while collectives were in flight');
      return;
    }
    this.closed = true;
    this.watchdog.stop();
    const channels = [this.left, this.right];
    for (const channel of channels) {
      if (channel.peerLeft) channel.finish();
      else this.control(channel, FrameKind.goodbye);
    }
    const cancel = this.options.clock.after(GOODBYE_SECONDS, () =>
      channels.forEach((channel) => channel.finish()),
    );
    await Promise.all(channels.map((channel) => channel.settled));
    cancel();
    for (const channel of channels) channel.edge.close();
  }

  // ---- sending ----

  /**
   * Sends all that can be sent now, oldest collective first, and settles what is complete. Only `inFlight`
   * numbers from the oldest on may send: slots are shared by numbers that far apart, and the right neighbour
   * holds no more than that many collectives that it has not issued yet.
   */
  private advance(): void {
    const { inFlight, window } = this.options;
    let oldest: number | undefined;
    for (const operation of this.operations.values()) {
      oldest ??= operation.id;
      if (operation.id >= oldest + inFlight) break;
      while (operation.ready && operation.sent - operation.acknowledged < window) this.sendPiece(operation);
      if (operation.complete) {
        this.operations.delete(operation.id);
        if (operation.id === oldest) oldest = undefined;
        operation.resolve();
      }
    }
    this.watchdog.watch();
  }

  private sendPiece(operation: Operation): void {
    const { sending, store } = operation;
    const { step, piece, start, end } = sending;
    const slot = this.slotOf(operation.id, operation.sent);
    const { lane } = this.right.edge;
    if (lane && store.kernels && (end - start) * store.wireBytes >= LANE_THRESHOLD_BYTES) {
      const { window, inFlight } = this.options;
      const payload = store.read(start, end, window * inFlight, operation.roundsOwn);
      // The checksum first: it brings into the cache what is then copied.
      const checksum = store.kernels.checksum(payload.byteOffset, payload.length);
      lane.write(slot, payload);
      this.right.sendLane(fieldsOf(operation, FrameKind.lane, step, piece), payload.length, checksum);
    } else {
      const payload = store.read(start, end, slot, operation.roundsOwn);
      this.right.send(fieldsOf(operation, FrameKind.data, step, piece), payload);
    }
    operation.sent++;
    sending.next();
  }

  private acknowledge(operation: Operation): void {
    const due = operation.received - operation.told;
    if (due === 0 || (due < this.ackEvery && !operation.receiving.done)) return;
    operation.told = operation.received;
    this.left.send(fieldsOf(operation, FrameKind.acknowledge, 0, operation.received), NOTHING);
  }

  /** A slot that no other unacknowledged piece uses. Both sides of an edge compute the same one. */
  private slotOf(collective: number, piece: number): number {
    const { inFlight, window } = this.options;
    return (collective % inFlight) * window + (piece % window);
  }

  private control(channel: Channel, kind: FrameKind): void {
    try {
      channel.send({ ...BLANK, kind, piece: this.issued }, NOTHING);
    } catch (error) {
      this.channelFailed(channel, error);
    }
  }

  // ---- receiving ----

  private fromLeft(header: Readonly<FrameHeader>, payload: Uint8Array): void {
    if (header.kind !== FrameKind.data && header.kind !== FrameKind.lane) {
      this.fromEither(this.left, header, payload);
      return;
    }
    const operation = this.operations.get(header.collective);
    if (operation) {
      this.guarded(operation, () => {
        this.consume(operation, header, payload);
        this.advance();
      });
    } else if (header.collective >= this.issued) {
      this.hold(header, payload);
    } else {
      this.mismatch(this.left, `a piece of collective ${header.collective}, which is finished here`);
    }
  }

  private fromRight(header: Readonly<FrameHeader>, payload: Uint8Array): void {
    if (header.kind !== FrameKind.acknowledge) {
      this.fromEither(this.right, header, payload);
      return;
    }
    const operation = this.operations.get(header.collective);
    if (!operation || header.piece <= operation.acknowledged || header.piece > operation.sent) {
      const what = `an acknowledgement of ${header.piece} pieces of collective ${header.collective}, which was not due`;
      this.mismatch(this.right, what, operation);
      return;
    }
    operation.acknowledged = header.piece;
    this.watchdog.progress(operation);
    this.guarded(operation, () => this.advance());
  }

  private fromEither(channel: Channel, header: Readonly<FrameHeader>, payload: Uint8Array): void {
    switch (header.kind) {
      case FrameKind.abort: {
        const { fault, origin, expectedRank, message } = decodeAbort(payload);
        this.fail({ fault, what: message, origin, expectedRank, operation: this.oldest() });
        return;
      }
      case FrameKind.goodbye:
        channel.peerLeft = true;
        this.control(channel, FrameKind.farewell);
        this.checkNeighbours();
        return;
      case FrameKind.farewell:
        channel.finish();
        return;
      case FrameKind.ask:
        this.control(channel, FrameKind.answer);
        return;
      case FrameKind.answer:
        this.watchdog.answered(channel, header.piece);
        return;
      case FrameKind.data:
      case FrameKind.lane:
      case FrameKind.acknowledge:
      case FrameKind.grant:
        this.mismatch(channel, "a frame against the ring's direction");
    }
  }

  private consume(operation: Operation, header: Readonly<FrameHeader>, payload: Uint8Array): void {
    const { receiving, store } = operation;
    const expected = expectedInsteadOf(operation, header);
    if (expected !== undefined) {
      this.mismatch(this.left, `${describeFrame(header)}; expected ${expected}`, operation);
      return;
    }
    const fill =
      header.kind === FrameKind.lane
        ? (target: Uint8Array): void => this.readLane(operation, header, target)
        : (target: Uint8Array): void => target.set(payload);
    store.write(receiving.start, receiving.end, fill, operation.program.reduces(receiving.step));
    operation.received++;
    receiving.next();
    this.watchdog.progress(operation);
    this.acknowledge(operation);
  }

  /** Reads a payload from the lane to where it belongs, and checks it there. */
  private readLane(operation: Operation, header: Readonly<FrameHeader>, target: Uint8Array): void {
    const { lane } = this.left.edge;
    lane?.read(this.slotOf(operation.id, operation.received), target);
    const checksum = operation.store.kernels?.checksum(target.byteOffset, target.length);
    if (!lane || checksum === undefined || checksum >>> 0 !== header.payloadChecksum) {
      const what = `the payload of frame ${header.sequence}, in the lane, does not match its checksum`;
      throw new FrameError('corrupt_payload', `from rank ${this.left.peer}: ${what}`);
    }
  }

  private hold(header: Readonly<FrameHeader>, payload: Uint8Array): void {
    if (this.early.hold(header, payload)) return;
    const { peer } = this.left;
    const what = `rank ${peer} sent more than its window of ${this.options.window} pieces of collective ${header.collective} ahead of time`;
    this.fail({ fault: 'window_exceeded', expectedRank: peer, what });
  }

  // ---- giving up ----

  /** After a goodbye nothing more comes from that neighbour: whoever still needs it can stop waiting. */
  private checkNeighbours(): void {
    for (const operation of this.operations.values()) {
      const sendsLeft = !operation.sending.done || operation.acknowledged < operation.sent;
      for (const [channel, needed] of [
        [this.left, !operation.receiving.done],
        [this.right, sendsLeft],
      ] as const) {
        if (!channel.peerLeft || !needed) continue;
        const what = `rank ${channel.peer} has closed its communicator`;
        this.fail({ fault: 'peer_left', operation, expectedRank: channel.peer, what });
      }
    }
  }

  private mismatch(channel: Channel, what: string, operation?: Operation): void {
    const said = `rank ${channel.peer} sent ${what}`;
    this.fail({ fault: 'mismatch', operation, expectedRank: channel.peer, what: said });
  }

  private channelFailed(channel: Channel, error: unknown): void {
    channel.finish();
    if (channel.peerLeft && error instanceof TransportError) return;
    this.fail({
      fault: faultOf(error),
      operation: this.oldest(),
      expectedRank: channel.peer,
      what: reportOf(error).message,
      cause: error,
    });
  }

  /** What goes wrong on this rank while a collective moves is every rank's problem. */
  private guarded(operation: Operation, action: () => void): void {
    try {
      action();
    } catch (error) {
      this.fail({ fault: faultOf(error), operation, what: reportOf(error).message, cause: error });
    }
  }

  private oldest(): Operation | undefined {
    for (const operation of this.operations.values()) return operation;
    return undefined;
  }

  private fail(trouble: Trouble): void {
    if (this.failure || this.closed) return;
    const failure = errorOf(trouble, this.member, this.title);
    this.failure = failure;
    this.watchdog.stop();
    const { fault, what, expectedRank, origin = this.member.rank } = trouble;
    const notice = encodeAbort({ fault, origin, message: what, expectedRank });
    for (const channel of [this.left, this.right]) {
      channel.edge.abort(channel.message({ ...BLANK, kind: FrameKind.abort }, notice));
    }
    for (const pending of this.operations.values()) pending.reject(failure);
    this.operations.clear();
    this.early.clear();
    this.onFailure(failure);
  }
}

function faultOf(error: unknown): CollectiveFault {
  return error instanceof FrameError || error instanceof TransportError ? error.fault : 'aborted';
}
