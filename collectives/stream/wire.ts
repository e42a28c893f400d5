import type { Bytes } from '../../base/index.js';
import { FrameKind, type FrameFields, type FrameHeader } from '../frame/header.js';
import type { MessageTag } from './tag.js';

/** The operation code of streams; those of collectives are smaller (communicator/operation.ts). */
const MESSAGE_CODE = 7;
const BLANK = { operation: MESSAGE_CODE, wire: 0, bucket: 0, step: 0, piece: 0, elements: 0 } as const;

/**
 * A grant: "send me that message, I have a place for it". The receiver numbers its grants from 0.
 *
 *     collective  the grant's number      step    tag.step          bucket  tag.microBatch
 *     piece       tag.part                elements  the message's bytes     payload  tag.channel in UTF-8
 */
export function grantFields(grant: number, tag: MessageTag, bytes: Bytes): FrameFields {
  const { step, microBatch, part } = tag;
  return {
    kind: FrameKind.grant,
    operation: MESSAGE_CODE,
    wire: 0,
    collective: grant,
    bucket: microBatch,
    step,
    piece: part,
    elements: bytes,
  };
}

/** What a grant asks for. */
export function readGrant(
  header: Readonly<FrameHeader>,
  payload: Uint8Array,
): { readonly id: number; readonly tag: MessageTag; readonly bytes: Bytes } {
  const { collective: id, step, bucket: microBatch, piece: part, elements: bytes } = header;
  return { id, tag: { channel: Buffer.from(payload).toString('utf8'), step, microBatch, part }, bytes };
}

/** A piece of a message; pieces follow each other without gaps, so their bounds need not be said. */
export interface PieceFields {
  /** The grant that it answers. */
  readonly grant: number;
  /** Its number within the message. */
  readonly piece: number;
  /** The whole message's bytes. */
  readonly bytes: Bytes;
  /** The receiver has to acknowledge now. */
  readonly confirm: boolean;
  /** Where in the lane the payload lies; undefined where it follows in the frame. */
  readonly slot: number | undefined;
}

/** A piece: collective is its grant, `wire` 1 asks for an acknowledgement, `bucket` is the slot of the lane. */
export function pieceFields({ grant, piece, bytes, confirm, slot }: PieceFields): FrameFields {
  return {
    ...BLANK,
    kind: slot === undefined ? FrameKind.data : FrameKind.lane,
    wire: confirm ? 1 : 0,
    collective: grant,
    bucket: slot ?? 0,
    piece,
    elements: bytes,
  };
}

export function readPiece(header: Readonly<FrameHeader>): PieceFields {
  const { collective: grant, piece, elements: bytes, wire, bucket, kind } = header;
  return { grant, piece, bytes, confirm: wire === 1, slot: kind === FrameKind.lane ? bucket : undefined };
}

/** An acknowledgement: `piece` counts the pieces consumed on this edge so far, of all messages, modulo 2^32. */
export function acknowledgeFields(consumed: number): FrameFields {
  return { ...BLANK, kind: FrameKind.acknowledge, collective: 0, piece: consumed };
}

/** A frame that says nothing but its kind. */
export function controlFields(kind: FrameKind): FrameFields {
  return { ...BLANK, kind, collective: 0 };
}

/** Whether a frame belongs to a stream: a peer that takes the edge for a ring must not be understood. */
export function isOfStream(header: Readonly<FrameHeader>): boolean {
  return header.operation === MESSAGE_CODE;
}
