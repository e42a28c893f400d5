import type { Bytes, Clock, Seconds } from '../../base/index.js';
import { TransportError } from '../errors.js';
import type { FileLane } from './lane.js';
import { SendQueue } from './queue.js';
import type { Edge, EdgeListener, Message } from './transport.js';

/** What an edge needs of a message socket that is connected to one peer. */
export interface PairSocket {
  /** One at a time; resolves when the message is queued, which is not to say delivered. */
  send(parts: Uint8Array[]): Promise<void>;
  receive(): Promise<Uint8Array[]>;
  close(): void;
  readonly closed: boolean;
  /** Milliseconds for which what is queued may still go out after `close`. */
  linger: number;
}

export interface SocketEdgeSettings {
  readonly highWaterBytes: Bytes;
  readonly sendTimeout: Seconds;
  /** How long what is queued may still go out after `close`. */
  readonly linger: Seconds;
  readonly clock: Clock;
}

/** How long the last message of an abort may take to be read; the socket itself has `linger: 0` by then. */
const ABORT_LINGER_SECONDS = 0.25;
/** After a connection ended, how long what it had already brought may still be read. */
const DRAIN_SECONDS = 0.05;
/** How long a receive loop may keep the event loop to itself. */
const TURN_MS = 3;

/** One end of an edge: a socket that is connected to one peer, a queue in front of it, and a loop that reads it. */
export class SocketEdge<S extends PairSocket = PairSocket> implements Edge {
  lane: FileLane | undefined;
  whenClosed: () => void = () => undefined;
  private readonly queue: SendQueue;
  private listener: EdgeListener | undefined;
  private ended = false;
  private sending = false;
  /** Aborted, and open only until the peer has read why. */
  private lasting = false;

  constructor(
    readonly peer: number,
    readonly socket: S,
    private readonly settings: SocketEdgeSettings,
  ) {
    this.queue = new SendQueue(settings.highWaterBytes, peer);
  }

  get queuedBytes(): Bytes {
    return this.queue.queuedBytes;
  }

  listen(listener: EdgeListener): void {
    this.listener = listener;
    void this.receive(listener); // ends with the edge; reports through the listener
  }

  send(parts: Message): void {
    if (this.ended) {
      const what = `the edge to rank ${this.peer} is closed`;
      throw new TransportError('edge_closed', what, { ids: { peer: this.peer } });
    }
    this.queue.push(parts);
    if (this.sending) return;
    this.sending = true;
    // In a microtask, so that all that this turn sends is there, and short messages go together.
    queueMicrotask(() => void this.pump()); // reports through the listener
  }

  close(): void {
    if (this.ended) return;
    this.ended = true;
    if (!this.sending) {
      this.shut();
      return;
    }
    // The pump shuts the socket when the queue is empty; a peer that takes nothing must not hold that up.
    this.settings.clock.after(this.settings.linger, () => this.shut());
  }

  abort(last?: Message): void {
    if (this.ended) return;
    this.ended = true;
    this.queue.clear();
    this.socket.linger = 0;
    if (last === undefined) {
      this.shut();
      return;
    }
    this.queue.push(last);
    // The peer closes when it has read the message. Closing first could lose it: libzmq drops what a
    // connecting socket has not read when its connection ends.
    this.lasting = true;
    this.settings.clock.after(ABORT_LINGER_SECONDS, () => this.shut());
    if (!this.sending) void this.pump();
  }

  /** The connection ended, whichever side did it. A socket that would reconnect has lost what it carried. */
  disconnected(): void {
    if (this.ended) this.shut();
    this.settings.clock.after(DRAIN_SECONDS, () =>
      this.lost('peer_lost', `the connection to rank ${this.peer} ended`),
    );
  }

  /** Hands the queue to the socket, one message at a time, as ZeroMQ asks for. */
  private async pump(): Promise<void> {
    this.sending = true;
    try {
      for (let message = this.queue.takeTogether(); message; message = this.queue.takeTogether()) {
        await this.socket.send(message as Uint8Array[]);
      }
    } catch (cause) {
      this.lost('send_timeout', `rank ${this.peer} took nothing for ${this.settings.sendTimeout} s`, cause);
    } finally {
      this.sending = false;
    }
    if (this.ended && !this.lasting) this.shut();
  }

  private async receive(listener: EdgeListener): Promise<void> {
    let turnStarted = performance.now();
    try {
      while (this.isOpen()) {
        const parts = await this.socket.receive();
        if (!this.isOpen()) return;
        listener.message(parts);
        if (performance.now() - turnStarted > TURN_MS) {
          await new Promise((resolve) => setImmediate(resolve));
          turnStarted = performance.now();
        }
      }
    } catch (cause) {
      this.lost('transport_failed', `reading from rank ${this.peer} failed: ${String(cause)}`, cause);
    }
  }

  private isOpen(): boolean {
    return !this.ended;
  }

  private lost(
    fault: 'peer_lost' | 'send_timeout' | 'transport_failed',
    what: string,
    cause?: unknown,
  ): void {
    if (this.ended) return;
    this.ended = true;
    this.queue.clear();
    this.socket.linger = 0;
    this.shut();
    this.listener?.closed(new TransportError(fault, what, { cause, ids: { peer: this.peer } }));
  }

  private shut(): void {
    if (this.socket.closed) return;
    this.socket.close();
    this.lane?.close();
    this.lane = undefined;
    this.whenClosed();
  }
}
