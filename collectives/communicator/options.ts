import type { Bytes, Clock, Seconds } from '../../base/index.js';
import { systemClock } from '../../base/index.js';
import { Arena } from '../arena.js';
import { HEADER_BYTES } from '../frame/header.js';
import type { WireFormat } from '../kernels/kernels.js';
import type { EdgeLimits } from '../transport/transport.js';

/** How collectives use memory and time. Every rank of a communicator must be given the same. */
export interface RingOptions {
  /** How values travel. One call may ask for `float32` instead. */
  readonly wire: WireFormat;
  /** The longest piece, in bytes of float32. A frame carries one piece. */
  readonly maxPieceBytes: Bytes;
  /** The shortest piece that a chunk is cut into. */
  readonly minPieceBytes: Bytes;
  /** Pieces of one collective that may be on their way to the right neighbour, unacknowledged. */
  readonly window: number;
  /** Collectives that may send at once; those issued later wait their turn. */
  readonly inFlight: number;
  /** A collective that makes no progress for this long is aborted. */
  readonly deadline: Seconds;
  readonly clock: Clock;
}

export const DEFAULT_RING: RingOptions = {
  wire: 'float32',
  maxPieceBytes: 256 * 2 ** 10,
  minPieceBytes: 128 * 2 ** 10,
  window: 16,
  inFlight: 2,
  deadline: 60,
  clock: systemClock,
};

/** Shorter payloads travel in the frame: two system calls for a slot of the lane would cost more. */
export const LANE_THRESHOLD_BYTES: Bytes = 16384;

/** Bytes of the arena that a communicator takes for itself: one piece to receive into, and staging for 16-bit wires. */
export function ringArenaBytes(
  options: Pick<RingOptions, 'wire' | 'maxPieceBytes' | 'window' | 'inFlight'>,
): Bytes {
  return Arena.sizeOf(options.maxPieceBytes) + stagingBytes(options);
}

/**
 * Where outgoing pieces are packed to 16 bits: one slot for each that may be unacknowledged, and one more for all
 * those that are copied to a lane at once (which then stays in the cache).
 */
export function stagingBytes(
  options: Pick<RingOptions, 'wire' | 'maxPieceBytes' | 'window' | 'inFlight'>,
): Bytes {
  return options.wire === 'float32'
    ? 0
    : Arena.sizeOf(options.maxPieceBytes / 2) * (options.window * options.inFlight + 1);
}

/**
 * The most that frames on their way take outside the arena, per rank: what the left neighbour may have sent
 * before it is acknowledged. (What this rank sends lies in the arena, and is not copied.)
 */
export function ringQueueBytes(options: Pick<RingOptions, 'maxPieceBytes' | 'window' | 'inFlight'>): Bytes {
  return (options.maxPieceBytes + HEADER_BYTES) * options.window * options.inFlight;
}

/** The limits for the transport under a communicator with these options. Control frames take the spare part. */
export function edgeLimits(options: Pick<RingOptions, 'maxPieceBytes' | 'window' | 'inFlight'>): EdgeLimits {
  const SPARE = 2 ** 20;
  return {
    maxMessageBytes: options.maxPieceBytes + HEADER_BYTES + SPARE,
    laneSlots: options.window * options.inFlight,
    laneSlotBytes: options.maxPieceBytes,
    highWaterBytes: ringQueueBytes(options) + SPARE,
  };
}
