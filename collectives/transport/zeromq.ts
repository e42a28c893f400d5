import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Dealer, Pair, Router } from 'zeromq';
import { systemClock, withDeadline, type Clock, type Seconds } from '../../base/index.js';
import { TransportError } from '../errors.js';
import {
  encodeJson,
  helloOf,
  MAX_HANDSHAKE_BYTES,
  parseHello,
  parseReply,
  refusalOf,
  type Reply,
} from './handshake.js';
import { PendingEdges } from './pending.js';
import { SendQueue } from './queue.js';
import {
  DEFAULT_LIMITS,
  type Edge,
  type EdgeLimits,
  type EdgeListener,
  type Member,
  type Message,
  type Transport,
} from './transport.js';

export interface ZeroMqOptions extends Partial<EdgeLimits> {
  /** The interface to listen on. Loopback unless told otherwise. */
  readonly host?: string;
  /** The port for handshakes; 0 (the default) takes a free one. Edges always take free ones. */
  readonly port?: number;
  /** The host name that other hosts reach this one by, where it is not `host` (which may be 0.0.0.0). */
  readonly advertise?: string;
  /** How an edge between two ranks of one host goes. `auto` takes what measured faster, where both can. */
  readonly local?: 'auto' | 'tcp' | 'ipc';
  /** How long a message may wait for room in the socket before the edge counts as broken. */
  readonly sendTimeout?: Seconds;
  /** How long queued messages may still go out after an orderly close. */
  readonly linger?: Seconds;
  readonly clock?: Clock;
}

type Settings = Required<ZeroMqOptions>;

const DEFAULTS: Settings = {
  ...DEFAULT_LIMITS,
  host: '127.0.0.1',
  port: 0,
  advertise: '',
  local: 'auto',
  sendTimeout: 30,
  linger: 1,
  clock: systemClock,
};

/** How long the last message of an abort may take to be read; the socket itself has `linger: 0` by then. */
const ABORT_LINGER_SECONDS = 0.25;
/** Messages that libzmq itself may hold, per edge and direction; the rest waits in our queue, counted in bytes. */
const SOCKET_MESSAGES = 8;
/** After a connection ended, how long what it had already brought may still be read. */
const DRAIN_SECONDS = 0.05;
/** How long a receive loop may keep the event loop to itself. */
const TURN_MS = 3;

/**
 * Edges over ZeroMQ. A rank listens with one ROUTER, the doorman, at its published address. It answers a hello
 * that belongs to the membership with the endpoint of a fresh PAIR socket made for that one edge and a secret
 * word, and everything else with the reason why not. A PAIR has exactly one peer at a time and turns others
 * away, so once the right one has said the word, a stranger can neither inject nor receive a frame.
 * (It keeps its endpoint: unbinding would end the connections made through it.)
 *
 * ZeroMQ queues; it does not promise delivery (see Edge). A connection that ends counts as a lost peer, even
 * though libzmq would reconnect: what it carried is lost.
 */
export class ZeroMqTransport implements Transport {
  readonly address: string;
  private readonly pending: PendingEdges;
  private readonly edges = new Set<ZeroMqEdge>();
  private readonly joined = new Set<number>();
  private readonly doorkeeping: Promise<void>;
  private closed = false;

  private constructor(
    readonly member: Member,
    private readonly settings: Settings,
    private readonly doorman: Router,
    private readonly folder: string | undefined,
  ) {
    this.pending = new PendingEdges(member, settings.clock);
    this.address = advertised(doorman.lastEndpoint ?? '', settings);
    this.doorkeeping = this.keepDoor();
  }

  /** @throws TransportError `address_in_use` */
  static async listen(member: Member, options: ZeroMqOptions = {}): Promise<ZeroMqTransport> {
    const settings = { ...DEFAULTS, ...options };
    const doorman = new Router({
      linger: 0,
      sendTimeout: settings.sendTimeout * 1000,
      maxMessageSize: MAX_HANDSHAKE_BYTES,
    });
    const endpoint = `tcp://${settings.host}:${settings.port === 0 ? '*' : settings.port}`;
    try {
      await doorman.bind(endpoint);
    } catch (cause) {
      doorman.close();
      throw new TransportError(
        'address_in_use',
        `rank ${member.rank} cannot listen on ${endpoint}: ${String(cause)}`,
        {
          cause,
          ids: { ...member, endpoint },
        },
      );
    }
    // mkdtemp makes the folder readable by its owner alone.
    const folder = settings.local === 'tcp' ? undefined : await mkdtemp(join(tmpdir(), 'dtrain-'));
    return new ZeroMqTransport(member, settings, doorman, folder);
  }

  async connect(peer: number, address: string, timeout: Seconds): Promise<Edge> {
    const { rank } = this.member;
    const ids = { ...this.member, peer, address };
    const caller = new Dealer({
      linger: 0,
      immediate: true,
      sendTimeout: timeout * 1000,
      receiveTimeout: timeout * 1000,
      maxMessageSize: MAX_HANDSHAKE_BYTES,
    });
    let reply: Reply | undefined;
    try {
      caller.connect(address);
      await caller.send(encodeJson(helloOf(this.member, peer)));
      const [bytes] = await caller.receive();
      reply = bytes && parseReply(bytes);
    } catch (cause) {
      throw new TransportError(
        'handshake_timeout',
        `rank ${peer} at ${address} did not answer rank ${rank} within ${timeout} s`,
        { cause, ids },
      );
    } finally {
      caller.close();
    }
    if (reply === undefined)
      throw new TransportError('refused', `what answers at ${address} is not a dtrain rank`, { ids });
    if ('refused' in reply) {
      throw new TransportError(
        'refused',
        `rank ${peer} at ${address} refused rank ${rank}: ${reply.refused}`,
        { retryable: false, ids },
      );
    }
    return this.enter(peer, reply.welcome, timeout);
  }

  accept(peer: number, timeout: Seconds): Promise<Edge> {
    return this.pending.take(peer, timeout);
  }

  async close(): Promise<void> {
    if (this.closed) return;
    this.closed = true;
    this.pending.close();
    this.doorman.close();
    for (const edge of this.edges) edge.close();
    await this.doorkeeping;
    if (this.folder !== undefined) await rm(this.folder, { recursive: true, force: true });
  }

  /** Opens the PAIR that the peer made for this edge, and says the word. */
  private async enter(
    peer: number,
    welcome: { endpoints: readonly string[]; token: string },
    timeout: Seconds,
  ): Promise<Edge> {
    const endpoint = welcome.endpoints.find(reachable);
    const ids = { ...this.member, peer };
    if (endpoint === undefined) {
      throw new TransportError(
        'refused',
        `rank ${peer} offers ${welcome.endpoints.join(', ')}, none of which this host can reach`,
        { ids },
      );
    }
    const edge = new ZeroMqEdge(peer, this.settings);
    try {
      edge.socket.connect(endpoint);
      await withDeadline(
        edge.socket.send(Buffer.from(welcome.token)),
        timeout,
        `opening ${endpoint} of rank ${peer}`,
      );
      await withDeadline(edge.socket.receive(), timeout, `the welcome of rank ${peer} at ${endpoint}`);
    } catch (cause) {
      edge.abort();
      throw new TransportError(
        'handshake_timeout',
        `rank ${peer} did not open the edge at ${endpoint} within ${timeout} s`,
        { cause, ids },
      );
    }
    this.keep(edge);
    return edge;
  }

  private async keepDoor(): Promise<void> {
    while (!this.closed) {
      try {
        const [who, bytes] = await this.doorman.receive();
        if (who === undefined || bytes === undefined) continue;
        await this.doorman.send([who, encodeJson(await this.answer(bytes))]);
      } catch (error) {
        if (!this.closed) this.pending.refused(`the door failed: ${String(error)}`);
        if (this.doorman.closed) return;
      }
    }
  }

  private async answer(bytes: Uint8Array): Promise<Reply> {
    const hello = parseHello(bytes);
    const refusal =
      hello === undefined
        ? 'that is no hello of dtrain'
        : (refusalOf(hello, this.member) ??
          (this.joined.has(hello.from) ? `rank ${hello.from} has already joined` : undefined));
    if (refusal !== undefined || hello === undefined) {
      this.pending.refused(refusal ?? '');
      return { refused: refusal ?? '' };
    }
    this.joined.add(hello.from);
    const edge = new ZeroMqEdge(hello.from, this.settings);
    const endpoints: string[] = [];
    for (const endpoint of this.offers(hello.from)) {
      await edge.socket.bind(endpoint);
      endpoints.push(edge.socket.lastEndpoint ?? endpoint);
    }
    const token = randomBytes(16).toString('hex');
    this.keep(edge);
    // Not awaited: the door stays open for other ranks. It reports through `accept`, and cannot reject.
    void this.admit(edge, token);
    return {
      welcome: { endpoints: endpoints.map((endpoint) => advertised(endpoint, this.settings)), token },
    };
  }

  /** Waits until the peer has said the word. */
  private async admit(edge: ZeroMqEdge, token: string): Promise<void> {
    try {
      const [word] = await edge.socket.receive();
      if (word?.toString() !== token) {
        edge.abort();
        this.pending.refused(`somebody else came to the edge of rank ${edge.peer}`);
        this.joined.delete(edge.peer);
        return;
      }
      await edge.socket.send(Buffer.from(token));
      this.pending.offer(edge);
    } catch (error) {
      if (!this.closed)
        this.pending.refused(`rank ${edge.peer} said hello but did not open its edge: ${String(error)}`);
    }
  }

  private offers(from: number): string[] {
    const ipc = this.folder === undefined ? [] : [`ipc://${join(this.folder, String(from))}`];
    return this.settings.local === 'ipc' ? ipc : [...ipc, `tcp://${this.settings.host}:*`];
  }

  private keep(edge: ZeroMqEdge): void {
    this.edges.add(edge);
    edge.whenClosed = () => this.edges.delete(edge);
  }
}

/** One end of an edge: a PAIR socket that is connected, a queue in front of it, and a loop that reads it. */
class ZeroMqEdge implements Edge {
  readonly socket: Pair;
  whenClosed: () => void = () => undefined;
  private readonly queue: SendQueue;
  private listener: EdgeListener | undefined;
  private ended = false;
  private sending = false;
  /** Aborted, and open only until the peer has read why. */
  private lasting = false;

  constructor(
    readonly peer: number,
    private readonly settings: Settings,
  ) {
    this.queue = new SendQueue(settings.highWaterBytes, peer);
    this.socket = new Pair({
      immediate: true,
      linger: settings.linger * 1000,
      sendTimeout: settings.sendTimeout * 1000,
      sendHighWaterMark: SOCKET_MESSAGES,
      receiveHighWaterMark: SOCKET_MESSAGES,
      maxMessageSize: settings.maxMessageBytes,
    });
    this.socket.events.on('disconnect', () => {
      if (this.lasting) this.shut();
      settings.clock.after(DRAIN_SECONDS, () =>
        this.lost('peer_lost', `the connection to rank ${peer} ended`),
      );
    });
  }

  get queuedBytes(): number {
    return this.queue.queuedBytes;
  }

  listen(listener: EdgeListener): void {
    this.listener = listener;
    void this.receive(listener); // ends with the edge; reports through the listener
  }

  send(parts: Message): void {
    if (this.ended)
      throw new TransportError('edge_closed', `the edge to rank ${this.peer} is closed`, {
        ids: { peer: this.peer },
      });
    this.queue.push(parts);
    if (!this.sending) void this.pump(); // reports through the listener
  }

  close(): void {
    if (this.ended) return;
    this.ended = true;
    if (this.sending) return; // the pump closes the socket when the queue is empty
    this.shut();
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

  /** Hands the queue to the socket, one message at a time, as ZeroMQ asks for. */
  private async pump(): Promise<void> {
    this.sending = true;
    try {
      for (let message = this.queue.take(); message; message = this.queue.take()) {
        await this.socket.send(message as Uint8Array[]);
      }
    } catch (cause) {
      const what = `rank ${this.peer} took nothing for ${this.settings.sendTimeout} s`;
      this.lost('send_timeout', what, cause);
    } finally {
      this.sending = false;
    }
    if (this.ended && !this.lasting) this.shut();
  }

  private async receive(listener: EdgeListener): Promise<void> {
    let turnStarted = performance.now();
    try {
      while (!this.ended) {
        const parts = await this.socket.receive();
        if (this.isOver()) return;
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

  private isOver(): boolean {
    return this.ended;
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
    this.whenClosed();
  }
}

/** The endpoint with the host name that others know. */
function advertised(endpoint: string, settings: Settings): string {
  if (settings.advertise === '' || !endpoint.startsWith('tcp://')) return endpoint;
  return `tcp://${settings.advertise}:${endpoint.slice(endpoint.lastIndexOf(':') + 1)}`;
}

/** An ipc endpoint is of use only where its socket file is visible. */
function reachable(endpoint: string): boolean {
  return !endpoint.startsWith('ipc://') || existsSync(endpoint.slice('ipc://'.length));
}
