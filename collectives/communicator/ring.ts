import { reportOf } from '../../base/index.js';
import {
  CollectiveError,
  CollectiveUsageError,
  FrameError,
  TransportError,
  type CollectiveFault,
  type CollectiveIds,
} from '../errors.js';
import { FrameKind, type FrameFields, type FrameHeader } from '../frame/header.js';
import type { Member } from '../transport/transport.js';
import type { Channel } from './channel.js';
import { decodeAbort, encodeAbort } from './notice.js';
import { OPERATION_CODE, type Operation } from './operation.js';
import type { RingOptions } from './options.js';
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
  /** Frames of collectives that the left neighbour has issued and this rank has not yet. */
  private readonly early = new Map<number, { header: FrameHeader; payload: Uint8Array }[]>();
  private readonly watchdog: Watchdog;
  private issued = 0;
  private failure: CollectiveError | undefined;
  private closed = false;
  private readonly ackEvery: number;

  constructor(
    private readonly member: Member,
    private readonly left: Channel,
    private readonly right: Channel,
    private readonly options: RingOptions,
    private readonly onFailure: (error: CollectiveError) => void,
  ) {
    this.ackEvery = Math.max(1, options.window >> 1);
    this.watchdog = new Watchdog(
      options,
      member,
      {
        oldest: () => this.oldest(),
        issued: () => this.issued,
        ask: (channel, fields) => this.control(channel, fields),
        expire: (operation, rank, what) => this.fail('deadline', operation, rank, what),
      },
      left,
      right,
    );
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
  nextId(): number {
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
      const held = this.early.get(operation.id) ?? [];
      this.early.delete(operation.id);
      for (const { header, payload } of held) this.consume(operation, header, payload);
      this.checkNeighbours();
      this.advance();
    });
  }

  /** Gives up everything in flight, here and on the other ranks. */
  abort(fault: CollectiveFault, what: string, cause?: unknown): void {
    this.fail(fault, this.oldest(), undefined, what, cause);
  }

  /**
   * Says goodbye to both neighbours and ends when both have read it (and so everything before it), are gone, or
   * have not answered in time. Collectives in flight are aborted.
   */
  async close(): Promise<void> {
    if (this.closed || this.failure) return;
    if (this.operations.size > 0) {
      this.abort('aborted', 'the communicator was closed while collectives were in flight');
      return;
    }
    this.closed = true;
    this.watchdog.stop();
    const channels = [this.left, this.right];
    for (const channel of channels) {
      if (channel.peerLeft) channel.finish();
      else this.control(channel, { kind: FrameKind.goodbye });
    }
    const cancel = this.options.clock.after(GOODBYE_SECONDS, () =>
      channels.forEach((channel) => channel.finish()),
    );
    await Promise.all(channels.map((channel) => channel.settled));
    cancel();
    for (const channel of channels) channel.edge.close();
  }

  // ---- sending ----

  /** Sends all that can be sent now, oldest collective first, and settles what is complete. */
  private advance(): void {
    let active = this.options.inFlight;
    for (const operation of this.operations.values()) {
      if (active-- <= 0) break;
      while (operation.ready && operation.sent - operation.acknowledged < this.options.window)
        this.sendPiece(operation);
      if (operation.complete) {
        this.operations.delete(operation.id);
        active++;
        operation.resolve();
      }
    }
    this.watchdog.watch();
  }

  private sendPiece(operation: Operation): void {
    const { sending, store } = operation;
    const slot = operation.sent % this.options.window;
    const payload = store.read(sending.start, sending.end, slot, operation.roundsOwn);
    this.right.send(fieldsOf(operation, FrameKind.data, sending.step, sending.piece), payload);
    operation.sent++;
    sending.next();
  }

  private acknowledge(operation: Operation): void {
    const due = operation.received - operation.told;
    if (due === 0 || (due < this.ackEvery && !operation.receiving.done)) return;
    operation.told = operation.received;
    this.left.send(fieldsOf(operation, FrameKind.acknowledge, 0, operation.received), NOTHING);
  }

  private control(channel: Channel, fields: Partial<FrameFields> & Pick<FrameFields, 'kind'>): void {
    const blank = { operation: 0, wire: 0, collective: 0, bucket: 0, step: 0, piece: 0, elements: 0 };
    try {
      channel.send({ ...blank, ...fields }, NOTHING);
    } catch (error) {
      this.channelFailed(channel, error);
    }
  }

  // ---- receiving ----

  private fromLeft(header: Readonly<FrameHeader>, payload: Uint8Array): void {
    if (header.kind !== FrameKind.data) {
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
      const what = `rank ${this.left.peer} sent a piece of collective ${header.collective}, which is finished here`;
      this.fail('mismatch', undefined, this.left.peer, what);
    }
  }

  private fromRight(header: Readonly<FrameHeader>, payload: Uint8Array): void {
    if (header.kind !== FrameKind.acknowledge) {
      this.fromEither(this.right, header, payload);
      return;
    }
    const operation = this.operations.get(header.collective);
    if (!operation || header.piece <= operation.acknowledged || header.piece > operation.sent) {
      const what = `rank ${this.right.peer} acknowledged ${header.piece} pieces of collective ${header.collective}, which were not due`;
      this.fail('mismatch', operation, this.right.peer, what);
      return;
    }
    operation.acknowledged = header.piece;
    this.watchdog.progress(operation);
    this.guarded(operation, () => this.advance());
  }

  private fromEither(channel: Channel, header: Readonly<FrameHeader>, payload: Uint8Array): void {
    switch (header.kind) {
      case FrameKind.abort: {
        const notice = decodeAbort(payload);
        const what = `rank ${notice.origin} gave up: ${notice.message}`;
        this.fail(notice.fault, this.oldest(), notice.expectedRank, what, undefined, notice.origin);
        return;
      }
      case FrameKind.goodbye:
        channel.peerLeft = true;
        this.control(channel, { kind: FrameKind.farewell });
        this.checkNeighbours();
        return;
      case FrameKind.farewell:
        channel.finish();
        return;
      case FrameKind.ask:
        this.control(channel, {
          kind: FrameKind.answer,
          collective: this.oldest()?.id ?? this.issued,
          piece: this.issued,
        });
        return;
      case FrameKind.answer:
        this.watchdog.answered(channel, header);
        return;
      case FrameKind.data:
      case FrameKind.acknowledge:
        this.fail(
          'mismatch',
          undefined,
          channel.peer,
          `rank ${channel.peer} sent a frame against the ring's direction`,
        );
    }
  }

  private consume(operation: Operation, header: Readonly<FrameHeader>, payload: Uint8Array): void {
    const { receiving, store } = operation;
    const wrong = receiving.done ? 'nothing more' : differences(operation, header, payload);
    if (wrong !== undefined) {
      this.fail(
        'mismatch',
        operation,
        this.left.peer,
        `rank ${this.left.peer} sent ${describe(header, payload)}; expected ${wrong}`,
      );
      return;
    }
    store.write(receiving.start, receiving.end, payload, operation.program.reduces(receiving.step));
    operation.received++;
    receiving.next();
    this.watchdog.progress(operation);
    this.acknowledge(operation);
  }

  private hold(header: Readonly<FrameHeader>, payload: Uint8Array): void {
    const held = this.early.get(header.collective) ?? [];
    if (
      held.length >= this.options.window ||
      (held.length === 0 && this.early.size >= this.options.inFlight)
    ) {
      const what = `rank ${this.left.peer} sent more of collective ${header.collective} than its window of ${this.options.window} pieces`;
      this.fail('window_exceeded', undefined, this.left.peer, what);
      return;
    }
    held.push({ header: { ...header }, payload });
    this.early.set(header.collective, held);
  }

  // ---- giving up ----

  /** After a goodbye nothing more comes from that neighbour: whoever still needs it can stop waiting. */
  private checkNeighbours(): void {
    for (const operation of this.operations.values()) {
      if (this.left.peerLeft && !operation.receiving.done) {
        this.fail(
          'peer_left',
          operation,
          this.left.peer,
          `rank ${this.left.peer} has closed its communicator`,
        );
      }
      if (this.right.peerLeft && !(operation.sending.done && operation.acknowledged === operation.sent)) {
        this.fail(
          'peer_left',
          operation,
          this.right.peer,
          `rank ${this.right.peer} has closed its communicator`,
        );
      }
    }
  }

  private channelFailed(channel: Channel, error: unknown): void {
    if (this.closed) channel.finish();
    if (this.closed || (channel.peerLeft && error instanceof TransportError)) return;
    const fault = error instanceof FrameError || error instanceof TransportError ? error.fault : 'aborted';
    this.fail(fault, this.oldest(), channel.peer, reportOf(error).message, error);
  }

  /** What goes wrong on this rank while a collective moves is every rank's problem. */
  private guarded(operation: Operation, action: () => void): void {
    try {
      action();
    } catch (error) {
      const fault = error instanceof TransportError ? error.fault : 'aborted';
      this.fail(fault, operation, undefined, reportOf(error).message, error);
    }
  }

  private oldest(): Operation | undefined {
    for (const operation of this.operations.values()) return operation;
    return undefined;
  }

  private fail(
    fault: CollectiveFault,
    operation: Operation | undefined,
    expectedRank: number | undefined,
    what: string,
    cause?: unknown,
    origin?: number,
  ): void {
    if (this.failure || this.closed) return;
    const { job, epoch, rank } = this.member;
    const where: { collective?: number; kind?: string; bucket?: number } = {};
    if (operation)
      Object.assign(where, { collective: operation.id, kind: operation.kind, bucket: operation.bucket });
    const ids: CollectiveIds = {
      job,
      epoch,
      rank,
      origin: origin ?? rank,
      ...(expectedRank === undefined ? {} : { expectedRank }),
      ...where,
    };
    const subject = operation
      ? `${operation.kind} ${operation.id} of bucket ${operation.bucket}`
      : 'the ring';
    const message = `job ${job}, epoch ${epoch}, rank ${rank}: ${subject} was aborted: ${what}. No partial sum may be used; form a new membership epoch and run it again`;
    this.failure = new CollectiveError(fault, message, ids, cause);
    this.watchdog.stop();
    const notice = encodeAbort({
      fault,
      origin: origin ?? rank,
      message: what,
      ...(expectedRank === undefined ? {} : { expectedRank }),
    });
    for (const channel of [this.left, this.right]) {
      channel.edge.abort(
        channel.message(
          {
            kind: FrameKind.abort,
            operation: 0,
            wire: 0,
            collective: 0,
            bucket: 0,
            step: 0,
            piece: 0,
            elements: 0,
          },
          notice,
        ),
      );
    }
    const { failure } = this;
    for (const pending of this.operations.values()) pending.reject(failure);
    this.operations.clear();
    this.early.clear();
    this.onFailure(failure);
  }
}

function fieldsOf(operation: Operation, kind: FrameKind, step: number, piece: number): FrameFields {
  const { store } = operation;
  return {
    kind,
    operation: OPERATION_CODE[operation.kind],
    wire: store.wireCode,
    collective: operation.id,
    bucket: operation.bucket,
    step,
    piece,
    elements: store.length,
  };
}

/** What should have come, where it differs from the frame. */
function differences(
  operation: Operation,
  header: Readonly<FrameHeader>,
  payload: Uint8Array,
): string | undefined {
  const { receiving, store } = operation;
  const bytes = (receiving.end - receiving.start) * store.wireBytes;
  const same =
    header.operation === OPERATION_CODE[operation.kind] &&
    header.wire === store.wireCode &&
    header.bucket === operation.bucket &&
    header.elements === store.length &&
    header.step === receiving.step &&
    header.piece === receiving.piece &&
    payload.length === bytes;
  if (same) return undefined;
  return `${operation.kind} ${operation.id} of bucket ${operation.bucket} (${store.length} elements, wire ${store.wireCode}), step ${receiving.step}, piece ${receiving.piece}, ${bytes} bytes`;
}

function describe(header: Readonly<FrameHeader>, payload: Uint8Array): string {
  const kind =
    Object.entries(OPERATION_CODE).find(([, code]) => code === header.operation)?.[0] ??
    `operation ${header.operation}`;
  return `${kind} ${header.collective} of bucket ${header.bucket} (${header.elements} elements, wire ${header.wire}), step ${header.step}, piece ${header.piece}, ${payload.length} bytes`;
}
