import { systemClock, type Clock, type Seconds } from '../../base/index.js';
import { CollectiveUsageError, TransportError } from '../errors.js';
import { Admissions } from './admissions.js';
import { helloOf, mistakeInPurpose, refusalOf } from './handshake.js';
import type { Lane } from './lane.js';
import { PendingEdges } from './pending.js';
import { SendQueue } from './queue.js';
import {
  DEFAULT_LIMITS,
  messageBytes,
  WORLD_RING,
  type Edge,
  type EdgeLimits,
  type EdgeListener,
  type Member,
  type Message,
  type Transport,
} from './transport.js';

/** What arrives in place of a message: none (lost), itself, itself twice, another, an earlier one kept back, ... */
export type Tamper = (message: Message, from: number, to: number) => readonly Message[];

export interface MemoryNetworkOptions extends Partial<EdgeLimits> {
  readonly tamper?: Tamper;
  /** Changes a payload in a slot of a lane, after it was written. */
  readonly tamperLane?: (slot: Uint8Array) => void;
  readonly clock?: Clock;
}

/**
 * Transports within one process: the reference implementation, and the one for tests of logic.
 *
 * A message is copied when it is delivered, not when it is sent: as with a zero-copy socket, a sender that
 * changes a part too early is found out.
 */
export class MemoryNetwork {
  private readonly transports = new Map<string, MemoryTransport>();
  private readonly limits: EdgeLimits;
  private readonly clock: Clock;
  private readonly tamper: Tamper;
  private readonly tamperLane: (slot: Uint8Array) => void;

  constructor(options: MemoryNetworkOptions = {}) {
    this.limits = { ...DEFAULT_LIMITS, ...options };
    this.clock = options.clock ?? systemClock;
    this.tamper = options.tamper ?? ((message) => [message]);
    this.tamperLane = options.tamperLane ?? (() => undefined);
  }

  transport(member: Member): Transport {
    const address = `memory://${this.transports.size}`;
    const made = new MemoryTransport(
      member,
      address,
      this.clock,
      this.limits,
      (to) => this.transports.get(to),
      (from, to) => this.edge(from, to),
    );
    this.transports.set(address, made);
    return made;
  }

  private edge(from: number, to: number): { near: MemoryEdge; far: MemoryEdge } {
    const { laneSlots, laneSlotBytes } = this.limits;
    const lane = laneSlots > 0 ? new MemoryLane(laneSlots, laneSlotBytes, this.tamperLane) : undefined;
    const near = new MemoryEdge(to, lane, this.limits, (message) => this.tamper(message, from, to));
    const far = new MemoryEdge(from, lane, this.limits, (message) => this.tamper(message, to, from));
    near.other = far;
    far.other = near;
    return { near, far };
  }
}

class MemoryTransport implements Transport {
  readonly pending: PendingEdges;
  private readonly edges: MemoryEdge[] = [];
  private readonly admissions = new Admissions();

  constructor(
    readonly member: Member,
    readonly address: string,
    clock: Clock,
    private readonly limits: EdgeLimits,
    private readonly find: (address: string) => MemoryTransport | undefined,
    private readonly makeEdge: (from: number, to: number) => { near: MemoryEdge; far: MemoryEdge },
  ) {
    this.pending = new PendingEdges(member, clock);
  }

  async connect(peer: number, address: string, timeout: Seconds, purpose = WORLD_RING): Promise<Edge> {
    const there = this.find(address);
    const { rank } = this.member;
    const mistake = mistakeInPurpose(purpose);
    if (mistake !== undefined) throw new CollectiveUsageError(mistake, { rank, peer });
    await Promise.resolve();
    if (!there)
      throw new TransportError('handshake_timeout', `nobody answers at ${address} within ${timeout} s`, {
        ids: { rank, peer },
      });
    const hello = helloOf(this.member, peer, this.limits, purpose);
    const refusal = refusalOf(hello, there.member, there.limits) ?? there.admissions.admit(hello);
    if (refusal !== undefined) {
      there.pending.refused(refusal);
      throw new TransportError('refused', `rank ${peer} at ${address} refused rank ${rank}: ${refusal}`, {
        ids: { rank, peer },
      });
    }
    const { near, far } = this.makeEdge(rank, peer);
    this.edges.push(near);
    there.edges.push(far);
    there.pending.offer(far, purpose);
    return near;
  }

  accept(peer: number, timeout: Seconds, purpose = WORLD_RING): Promise<Edge> {
    return this.pending.take(peer, timeout, purpose);
  }

  close(): Promise<void> {
    this.pending.close();
    for (const edge of this.edges) edge.close();
    return Promise.resolve();
  }
}

class MemoryLane implements Lane {
  private readonly bytes: Uint8Array;

  constructor(
    readonly slots: number,
    readonly slotBytes: number,
    private readonly tamper: (slot: Uint8Array) => void,
  ) {
    this.bytes = new Uint8Array(slots * slotBytes);
  }

  write(slot: number, payload: Uint8Array): void {
    const at = slot * this.slotBytes;
    this.bytes.set(payload, at);
    this.tamper(this.bytes.subarray(at, at + payload.length));
  }

  read(slot: number, target: Uint8Array): void {
    target.set(this.bytes.subarray(slot * this.slotBytes, slot * this.slotBytes + target.length));
  }
}

class MemoryEdge implements Edge {
  other!: MemoryEdge;
  private readonly queue: SendQueue;
  private readonly inbox: Message[] = [];
  private listener: EdgeListener | undefined;
  private ended = false;
  private ending: TransportError | undefined;
  private scheduled = false;

  constructor(
    readonly peer: number,
    readonly lane: Lane | undefined,
    private readonly limits: EdgeLimits,
    private readonly through: (message: Message) => readonly Message[],
  ) {
    this.queue = new SendQueue(limits.highWaterBytes, peer);
  }

  get queuedBytes(): number {
    return this.queue.queuedBytes;
  }

  listen(listener: EdgeListener): void {
    this.listener = listener;
    this.schedule();
  }

  send(parts: Message): void {
    if (this.ended)
      throw new TransportError('edge_closed', `the edge to rank ${this.peer} is closed`, {
        ids: { peer: this.peer },
      });
    this.queue.push(parts);
    this.schedule();
  }

  close(): void {
    if (this.ended) return;
    this.flush();
    this.end();
  }

  abort(last?: Message): void {
    if (this.ended) return;
    this.queue.clear();
    if (last) {
      this.queue.push(last);
      this.flush();
    }
    this.end();
  }

  private end(): void {
    this.ended = true;
    this.other.lost(`rank ${this.other.peer} closed the connection`);
  }

  private lost(what: string): void {
    if (this.ended || this.ending) return;
    this.ending = new TransportError('peer_lost', what, { ids: { peer: this.peer } });
    this.schedule();
  }

  private schedule(): void {
    if (this.scheduled) return;
    this.scheduled = true;
    setImmediate(() => {
      this.scheduled = false;
      this.flush();
      this.deliver();
    });
  }

  private flush(): void {
    if (this.queue.empty) return;
    for (let message = this.queue.take(); message; message = this.queue.take()) {
      for (const passed of this.through(message)) {
        if (messageBytes(passed) > this.limits.maxMessageBytes) {
          this.lost(`rank ${this.peer} refused a message of ${messageBytes(passed)} bytes`);
          this.other.lost(`rank ${this.other.peer} sent a message of ${messageBytes(passed)} bytes`);
          break;
        }
        this.other.inbox.push(passed.map((part) => Uint8Array.from(part)));
      }
    }
    this.other.schedule();
  }

  private deliver(): void {
    const { listener } = this;
    if (!listener) return;
    for (let message = this.inbox.shift(); message && !this.ended; message = this.inbox.shift())
      listener.message(message);
    if (this.ending && !this.ended) {
      this.ended = true;
      listener.closed(this.ending);
    }
  }
}
