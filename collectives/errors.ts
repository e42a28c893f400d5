import { DtrainError, PeerError, UserError, type ErrorDetails } from '../base/index.js';

/** Why a frame was refused. The parser that refused one accepts nothing after it. */
export type FrameFault =
  | 'not_a_frame'
  | 'wrong_version'
  | 'corrupt_header'
  | 'foreign_job'
  | 'stale_epoch'
  | 'future_epoch'
  | 'wrong_sender'
  | 'wrong_sequence'
  | 'too_long'
  | 'corrupt_payload'
  | 'truncated';

/** Bytes that arrived from a peer are not the frame that had to come next. */
export class FrameError extends PeerError {
  constructor(
    readonly fault: FrameFault,
    message: string,
    details?: ErrorDetails,
  ) {
    super(fault, message, details);
  }
}

/** Why an edge between two ranks could not be opened, or can no longer be used. */
export type TransportFault =
  | 'refused'
  | 'handshake_timeout'
  | 'address_in_use'
  | 'edge_closed'
  | 'peer_lost'
  | 'queue_full'
  | 'send_timeout'
  | 'transport_failed';

/** An edge, or the way to it, failed. */
export class TransportError extends PeerError {
  constructor(
    readonly fault: TransportFault,
    message: string,
    details?: ErrorDetails,
  ) {
    super(fault, message, { retryable: true, ...details });
  }
}

/** Why a collective was given up. */
export type CollectiveFault =
  FrameFault | TransportFault | 'deadline' | 'mismatch' | 'peer_left' | 'window_exceeded' | 'aborted';

/** Where a collective stood when it was given up; what `CollectiveError.ids` holds. */
export interface CollectiveIds extends Readonly<Record<string, unknown>> {
  readonly job: string;
  readonly epoch: number;
  /** The rank that reports. */
  readonly rank: number;
  /** The rank whose frame or acknowledgement was awaited, or which sent what was refused. */
  readonly expectedRank?: number;
  /** The rank that noticed first and told the others. */
  readonly origin?: number;
  readonly collective?: number;
  readonly kind?: string;
  readonly bucket?: number;
  /** The message that was waited for, where a stream failed. */
  readonly channel?: string;
  readonly step?: number;
  readonly microBatch?: number;
  readonly part?: number;
}

/**
 * A collective was aborted: on this rank, and on every other that can still be reached. The buckets of
 * every collective in flight hold unspecified values; none of them may be used. Form a communicator with
 * a new membership epoch and run the collectives again, as a whole.
 */
export class CollectiveError extends PeerError {
  constructor(
    readonly fault: CollectiveFault,
    message: string,
    override readonly ids: CollectiveIds,
    cause?: unknown,
    /** What was wrong, in the words of the rank that noticed: for those to whom it is passed on. */
    readonly reason: string = message,
  ) {
    super(fault, message, { retryable: true, ids, cause });
  }
}

/** What was asked for does not fit the arena's budget. */
export class BudgetError extends UserError {
  constructor(message: string, ids: Readonly<Record<string, unknown>>) {
    super('over_budget', message, { ids });
  }
}

/** The communicator, the arena or the transport was used against its contract by the calling code. */
export class CollectiveUsageError extends DtrainError {
  constructor(message: string, ids: Readonly<Record<string, unknown>> = {}) {
    super('bug', 'collective_usage', message, { ids });
  }
}
