import {
  FrameError,
  CollectiveError,
  TransportError,
  type CollectiveFault,
  type CollectiveIds,
} from '../errors.js';
import type { Member } from '../transport/transport.js';
import type { Parcel } from './queues.js';
import { describeMessage } from './tag.js';

/** What was wrong, as the end that noticed it puts it. */
export interface StreamTrouble {
  readonly fault: CollectiveFault;
  /** In the words of the rank that noticed it. */
  readonly what: string;
  /** The message that was waited for. */
  readonly parcel?: Parcel | undefined;
  /** The rank that is to blame, where it is known. */
  readonly expectedRank?: number | undefined;
  /** The rank that noticed first, when it was not this one. */
  readonly origin?: number | undefined;
  readonly cause?: unknown;
}

/** The error that every message in flight is rejected with. */
export function errorOf(trouble: StreamTrouble, member: Member, stream: string): CollectiveError {
  const { job, epoch, rank } = member;
  const { parcel, expectedRank, origin = rank, fault, what, cause } = trouble;
  const ids: CollectiveIds = {
    job,
    epoch,
    rank,
    origin,
    ...(expectedRank === undefined ? {} : { expectedRank }),
    ...parcel?.tag,
  };
  const subject = parcel
    ? `message ${describeMessage(parcel.tag, parcel.bytes.length)} of ${stream}`
    : stream;
  const message =
    `job ${job}, epoch ${epoch}, rank ${rank}: ${subject} was given up: ${origin === rank ? what : `rank ${origin} gave up: ${what}`}. ` +
    'What was not received in full holds unspecified bytes; form a new membership epoch and send it again';
  return new CollectiveError(fault, message, ids, cause, what);
}

export function faultOf(error: unknown): CollectiveFault {
  return error instanceof FrameError || error instanceof TransportError || error instanceof CollectiveError
    ? error.fault
    : 'aborted';
}
