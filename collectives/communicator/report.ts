import { CollectiveError, type CollectiveFault, type CollectiveIds } from '../errors.js';
import type { FrameHeader } from '../frame/header.js';
import type { Member } from '../transport/transport.js';
import { OPERATION_CODE, type Operation } from './operation.js';

/** What was wrong, as the rank that noticed it puts it. */
export interface Trouble {
  readonly fault: CollectiveFault;
  /** In the words of the rank that noticed it. */
  readonly what: string;
  readonly operation?: Operation | undefined;
  /** The rank whose frame or acknowledgement was awaited or refused. */
  readonly expectedRank?: number | undefined;
  /** The rank that noticed first, when it was not this one. */
  readonly origin?: number | undefined;
  readonly cause?: unknown;
}

/** The error that every call in flight is rejected with. */
export function errorOf(trouble: Trouble, member: Member, ring: string): CollectiveError {
  const { job, epoch, rank } = member;
  const { operation, expectedRank, fault, what, origin = rank } = trouble;
  const ids: CollectiveIds = {
    job,
    epoch,
    rank,
    origin,
    ...(expectedRank === undefined ? {} : { expectedRank }),
    ...(operation ? { collective: operation.id, kind: operation.kind, bucket: operation.bucket } : {}),
  };
  const subject = operation
    ? `${operation.kind} ${operation.id} of bucket ${operation.bucket} in ${ring}`
    : ring;
  const gaveUp = origin === rank ? '' : `rank ${origin} gave up: `;
  const message =
    `job ${job}, epoch ${epoch}, rank ${rank}: ${subject} was aborted: ${gaveUp}${what}. ` +
    'No partial sum may be used; form a new membership epoch and run it again';
  return new CollectiveError(fault, message, ids, trouble.cause, what);
}

/** What should have come, where it differs from what the frame says of itself; undefined where it does not. */
export function expectedInsteadOf(operation: Operation, header: Readonly<FrameHeader>): string | undefined {
  const { receiving, store, kind, id, bucket } = operation;
  if (receiving.done) return `nothing more of ${kind} ${id}`;
  const bytes = (receiving.end - receiving.start) * store.wireBytes;
  const same =
    header.operation === OPERATION_CODE[kind] &&
    header.wire === store.wireCode &&
    header.bucket === bucket &&
    header.elements === store.length &&
    header.step === receiving.step &&
    header.piece === receiving.piece &&
    header.payloadBytes === bytes;
  if (same) return undefined;
  const { step, piece } = receiving;
  return `${kind} ${id} of bucket ${bucket} (${store.length} elements, wire ${store.wireCode}), step ${step}, piece ${piece}, ${bytes} bytes`;
}

export function describeFrame(header: Readonly<FrameHeader>): string {
  const known = Object.entries(OPERATION_CODE).find(([, code]) => code === header.operation);
  const kind = known?.[0] ?? `operation ${header.operation}`;
  const { collective, bucket, elements, wire, step, piece, payloadBytes } = header;
  return `${kind} ${collective} of bucket ${bucket} (${elements} elements, wire ${wire}), step ${step}, piece ${piece}, ${payloadBytes} bytes`;
}
