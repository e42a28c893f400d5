import type { CollectiveFault } from '../errors.js';

/** What a rank that gives up tells its neighbours, who pass it on. */
export interface AbortNotice {
  readonly fault: CollectiveFault;
  /** The rank that noticed first. */
  readonly origin: number;
  /** The rank that it blames. */
  readonly expectedRank?: number | undefined;
  readonly message: string;
}

const MAX_MESSAGE = 2000;

export function encodeAbort(notice: AbortNotice): Uint8Array {
  return Buffer.from(JSON.stringify({ ...notice, message: notice.message.slice(0, MAX_MESSAGE) }));
}

/** The notice in an abort frame. The frame's checksum was good, so other content is only a rank of another build. */
export function decodeAbort(payload: Uint8Array): AbortNotice {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(payload).toString('utf8'));
  } catch {
    value = undefined;
  }
  const found: Record<string, unknown> = typeof value === 'object' && value !== null ? { ...value } : {};
  const { origin, expectedRank, message, fault } = found;
  return {
    fault: isFault(fault) ? fault : 'aborted',
    origin: typeof origin === 'number' ? origin : -1,
    message: typeof message === 'string' ? message : 'without a reason',
    expectedRank: typeof expectedRank === 'number' ? expectedRank : undefined,
  };
}

const FAULTS: ReadonlySet<unknown> = new Set<CollectiveFault>([
  'not_a_frame',
  'wrong_version',
  'corrupt_header',
  'foreign_job',
  'stale_epoch',
  'future_epoch',
  'wrong_sender',
  'wrong_sequence',
  'too_long',
  'corrupt_payload',
  'truncated',
  'refused',
  'handshake_timeout',
  'address_in_use',
  'edge_closed',
  'peer_lost',
  'queue_full',
  'send_timeout',
  'transport_failed',
  'deadline',
  'mismatch',
  'peer_left',
  'window_exceeded',
  'aborted',
]);

function isFault(value: unknown): value is CollectiveFault {
  return FAULTS.has(value);
}
