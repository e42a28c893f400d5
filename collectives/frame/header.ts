import { createHash } from 'node:crypto';
import { crc32 } from '@node-rs/crc32';

/** The first bytes of every frame: "DTRF", read as little-endian. */
export const FRAME_MAGIC = 0x46525444;
/** Raised whenever the meaning of a frame's bytes changes. */
export const FRAME_VERSION = 2;
export const HEADER_BYTES = 64;

/**
 * What a frame is for. Data goes with the edge's direction, as payload or (`lane`) in a slot of the edge's lane;
 * an acknowledgement goes against it, as does (`grant`) the word that a message may come; the rest both ways.
 */
export const FrameKind = {
  data: 1,
  acknowledge: 2,
  abort: 3,
  goodbye: 4,
  farewell: 5,
  ask: 6,
  answer: 7,
  lane: 8,
  grant: 9,
} as const;
export type FrameKind = (typeof FrameKind)[keyof typeof FrameKind];

/** Who a frame belongs to: constant over an edge's life. */
export interface FrameIdentity {
  readonly jobLow: number;
  readonly jobHigh: number;
  readonly epoch: number;
  readonly sender: number;
}

/**
 * What a frame says of itself, besides its identity, sequence number and checksums. All are unsigned 32-bit.
 * Said here for collectives; what the frames of a stream put there is told in stream/wire.ts.
 */
export interface FrameFields {
  kind: FrameKind;
  /** The collective's kind and wire format as small numbers (see communicator/signature.ts). */
  operation: number;
  wire: number;
  /** The collective's number: the same on every rank, rising by one with every call. */
  collective: number;
  bucket: number;
  /** Ring step and piece within the step's chunk. An acknowledgement's `piece` counts the frames consumed so far. */
  step: number;
  piece: number;
  /** The whole bucket's length in elements: two ranks that disagree must not add up. */
  elements: number;
}

/** A header as received. */
export interface FrameHeader extends FrameFields {
  sequence: number;
  payloadBytes: number;
  payloadChecksum: number;
}

/** The identity of the frames that `sender` writes. The job's name is hashed to 64 bits (the start of its SHA-256). */
export function frameIdentity(job: string, epoch: number, sender: number): FrameIdentity {
  const digest = createHash('sha256').update(job).digest();
  return { jobLow: digest.readUInt32LE(0), jobHigh: digest.readUInt32LE(4), epoch, sender };
}

/**
 * Byte offsets of a header, little-endian, unsigned:
 *
 *     0 magic u32     4 version u8   5 kind u8   6 operation u8   7 wire u8
 *     8 job u64      16 epoch u32   20 sender u32
 *    24 sequence u64 (53 bits used) 32 collective u32  36 bucket u32
 *    40 step u32     44 piece u32   48 elements u32
 *    52 payload bytes u32           56 payload CRC u32      60 CRC of bytes 0 to 59 u32
 *
 * The checksums are CRC-32 (ISO 3309, as in Ethernet and gzip), which measured twice as fast as CRC-32C here;
 * a payload in the lane, which never leaves the host's memory, has the cheaper checksum of the kernels.
 */
export const Offset = {
  magic: 0,
  version: 4,
  kind: 5,
  operation: 6,
  wire: 7,
  jobLow: 8,
  jobHigh: 12,
  epoch: 16,
  sender: 20,
  sequenceLow: 24,
  sequenceHigh: 28,
  collective: 32,
  bucket: 36,
  step: 40,
  piece: 44,
  elements: 48,
  payloadBytes: 52,
  payloadChecksum: 56,
  headerChecksum: 60,
} as const;

const EMPTY_CHECKSUM = 0;

/** CRC-32 (ISO 3309) of a payload; 0 for none. */
export function payloadChecksum(payload: Uint8Array): number {
  return payload.length === 0 ? EMPTY_CHECKSUM : crc32(payload);
}

/** CRC-32 of the header's bytes before the checksum itself. */
export function headerChecksum(header: Uint8Array): number {
  return crc32(header.subarray(0, Offset.headerChecksum));
}

/**
 * Writes the frames of one direction of one edge, numbering them from 0. Touches no socket.
 * The payload is not copied: the header carries its checksum, and the two are sent one after the other.
 */
export class FrameEncoder {
  private sequence = 0;

  constructor(private readonly identity: FrameIdentity) {}

  /**
   * The header of the next frame: 64 new bytes, which the transport may keep.
   * @param checksum of the payload: `payloadChecksum` where it follows, the kernels' where it lies in the lane
   */
  encode(fields: FrameFields, payloadBytes: number, checksum: number): Uint8Array {
    const header = Buffer.allocUnsafe(HEADER_BYTES);
    header.writeUInt32LE(FRAME_MAGIC, Offset.magic);
    header[Offset.version] = FRAME_VERSION;
    header[Offset.kind] = fields.kind;
    header[Offset.operation] = fields.operation;
    header[Offset.wire] = fields.wire;
    header.writeUInt32LE(this.identity.jobLow, Offset.jobLow);
    header.writeUInt32LE(this.identity.jobHigh, Offset.jobHigh);
    header.writeUInt32LE(this.identity.epoch, Offset.epoch);
    header.writeUInt32LE(this.identity.sender, Offset.sender);
    header.writeUInt32LE(this.sequence >>> 0, Offset.sequenceLow);
    header.writeUInt32LE(Math.floor(this.sequence / 2 ** 32), Offset.sequenceHigh);
    header.writeUInt32LE(fields.collective, Offset.collective);
    header.writeUInt32LE(fields.bucket, Offset.bucket);
    header.writeUInt32LE(fields.step, Offset.step);
    header.writeUInt32LE(fields.piece, Offset.piece);
    header.writeUInt32LE(fields.elements, Offset.elements);
    header.writeUInt32LE(payloadBytes, Offset.payloadBytes);
    header.writeUInt32LE(checksum >>> 0, Offset.payloadChecksum);
    header.writeUInt32LE(headerChecksum(header), Offset.headerChecksum);
    this.sequence++;
    return header;
  }
}
