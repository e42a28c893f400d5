import type { Bytes, Seconds } from '../../base/index.js';
import type { TransportError } from '../errors.js';
import type { Lane } from './lane.js';

/** Which process this is: one rank of one membership of one job. */
export interface Member {
  readonly job: string;
  /** The membership's number. Every change of members starts a new one; nothing from an older one is let in. */
  readonly epoch: number;
  readonly rank: number;
  readonly worldSize: number;
}

/** One message: its parts in order. Parts are sent as they lie in memory and must not change until consumed. */
export type Message = readonly Uint8Array[];

export interface EdgeListener {
  /** Called for each message, in the order sent. The parts are the receiver's to keep. */
  message(parts: Message): void;
  /** Called at most once, after the last message, when the edge ended and not by this side's doing. */
  closed(error: TransportError): void;
}

/**
 * One end of a directed edge between two ranks. Data flows in the edge's direction, control (acknowledgements,
 * aborts) also against it.
 *
 * Guarantees: messages come whole and in order, none twice. Not guaranteed: that a message accepted by `send`
 * arrives at all (a connection that resets loses what was queued, silently); the layer above numbers and
 * acknowledges. Never blocks.
 */
export interface Edge {
  readonly peer: number;
  /** Memory that both ends reach, where they are on one host. Written at the edge's start, read at its end. */
  readonly lane: Lane | undefined;
  /** Starts delivery. Messages that came earlier are delivered first. Once only. */
  listen(listener: EdgeListener): void;
  /**
   * Queues a message; returns at once.
   * @throws TransportError `queue_full` when the queue's bytes would exceed its high-water mark,
   *   `edge_closed` after `close`, `abort` or the listener's `closed`
   */
  send(parts: Message): void;
  /** Bytes queued here and not yet handed to the network. */
  readonly queuedBytes: Bytes;
  /** Ends the edge. What is queued still goes out, for as long as the adapter lingers. */
  close(): void;
  /** Ends the edge and drops what is queued, except `last`, which is tried for a moment. */
  abort(last?: Message): void;
}

/** What an edge is for, unless told otherwise: the ring of all ranks. */
export const WORLD_RING = 'ring';

/**
 * Edges between the ranks of one membership. Two ranks may have several, one for each purpose (a name that both
 * give: the ring of a group, a stream), in each direction. Opening one includes a handshake in which each side proves to be
 * of the same job, epoch, world size, version and profile, and the rank that it is taken for.
 */
export interface Transport {
  readonly member: Member;
  /** Where other ranks reach this one; published to them by the control plane. */
  readonly address: string;
  /**
   * Opens the edge from this rank to `peer` that serves `purpose`.
   * @throws TransportError `refused` (the peer said why), `handshake_timeout`; CollectiveUsageError for a purpose
   *   that cannot be one
   */
  connect(peer: number, address: string, timeout: Seconds, purpose?: string): Promise<Edge>;
  /**
   * Waits for the edge from `peer` to this rank that serves `purpose`.
   * @throws TransportError `handshake_timeout` (names strangers that were refused meanwhile, and edges of that peer
   *   that nobody came for); CollectiveUsageError for a purpose that cannot be one
   */
  accept(peer: number, timeout: Seconds, purpose?: string): Promise<Edge>;
  /** Closes what is left open and removes every trace (sockets, files). */
  close(): Promise<void>;
}

/** Limits that both ends of an edge agree on. */
export interface EdgeLimits {
  /** A longer message is refused by the receiver, and its connection ended. */
  readonly maxMessageBytes: Bytes;
  /** How much `send` queues before it throws. */
  readonly highWaterBytes: Bytes;
  /** The lane's size, where there is one. No slots: no lane. */
  readonly laneSlots: number;
  readonly laneSlotBytes: Bytes;
}

/** Room for the windows of several collectives of default size; see communicator/options.ts. */
export const DEFAULT_LIMITS: EdgeLimits = {
  maxMessageBytes: 8 * 2 ** 20,
  highWaterBytes: 64 * 2 ** 20,
  laneSlots: 0,
  laneSlotBytes: 0,
};

export function messageBytes(parts: Message): Bytes {
  let bytes = 0;
  for (const part of parts) bytes += part.length;
  return bytes;
}
