import { randomBytes } from 'node:crypto';
import { existsSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { Dealer, Pair, Router } from 'zeromq';
import { systemClock, withDeadline, type Clock, type Seconds } from '../../base/index.js';
import { CollectiveUsageError, TransportError } from '../errors.js';
import { Admissions } from './admissions.js';
import {
  encodeJson,
  helloOf,
  MAX_HANDSHAKE_BYTES,
  mistakeInPurpose,
  parseHello,
  parseReply,
  refusalOf,
  type Hello,
  type Reply,
  type Welcome,
} from './handshake.js';
import { FileLane, privateFolder } from './lane.js';
import { PendingEdges } from './pending.js';
import { SocketEdge } from './socket-edge.js';
import {
  DEFAULT_LIMITS,
  WORLD_RING,
  type Edge,
  type EdgeLimits,
  type Member,
  type Transport,
} from './transport.js';

export interface ZeroMqOptions extends Partial<EdgeLimits> {
  /** The interface to listen on. Loopback unless told otherwise. */
  readonly host?: string;
  /** The port for handshakes; 0 (the default) takes a free one. Edges always take free ones. */
  readonly port?: number;
  /** The host name that other hosts reach this one by, where it is not `host` (which may be 0.0.0.0). */
  readonly advertise?: string;
  /**
   * How an edge between two ranks of one host goes: over a TCP or a Unix domain socket with everything in the
   * messages, or (`auto`) over a Unix domain socket with long payloads in a lane, where both can.
   */
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

/** Messages that libzmq itself may hold, per edge and direction; the rest waits in our queue, counted in bytes. */
const SOCKET_MESSAGES = 8;

/**
 * Edges over ZeroMQ. A rank listens with one ROUTER, the doorman, at its published address. It answers a hello
 * that belongs to the membership with the endpoints of a fresh PAIR socket made for that one edge and a secret
 * word, and everything else with the reason why not. A PAIR has exactly one peer at a time and turns others
 * away, so once the right one has said the word, a stranger can neither inject nor receive a frame.
 * (It keeps its TCP endpoint: unbinding would end the connections made through it.)
 *
 * ZeroMQ queues; it does not promise delivery (see Edge). A connection that ends counts as a lost peer, even
 * though libzmq would reconnect: what it carried is lost. Files (a socket, a lane) live in a private folder
 * that is removed as soon as the edge is open, so that not even a killed process leaves one.
 */
export class ZeroMqTransport implements Transport {
  readonly address: string;
  private readonly pending: PendingEdges;
  private readonly edges = new Set<SocketEdge>();
  private readonly folders = new Set<string>();
  private readonly admissions = new Admissions();
  /** Those who wait at another rank's door. */
  private readonly callers = new Set<Dealer>();
  private closed = false;
  private readonly doorkeeping: Promise<void>;

  private constructor(
    readonly member: Member,
    private readonly settings: Settings,
    private readonly doorman: Router,
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
      const what = `rank ${member.rank} cannot listen on ${endpoint}: ${String(cause)}`;
      throw new TransportError('address_in_use', what, { cause, ids: { ...member, endpoint } });
    }
    return new ZeroMqTransport(member, settings, doorman);
  }

  async connect(peer: number, address: string, timeout: Seconds, purpose = WORLD_RING): Promise<Edge> {
    const { rank } = this.member;
    const ids = { ...this.member, peer, address, purpose };
    const mistake = mistakeInPurpose(purpose);
    if (mistake !== undefined) throw new CollectiveUsageError(mistake, ids);
    const reply = await this.call(peer, address, timeout, purpose);
    if (reply === undefined) {
      throw new TransportError('refused', `what answers at ${address} is not a dtrain rank`, { ids });
    }
    if ('refused' in reply) {
      const what = `rank ${peer} at ${address} refused rank ${rank}: ${reply.refused}`;
      throw new TransportError('refused', what, { retryable: false, ids });
    }
    return this.enter(peer, reply.welcome, timeout);
  }

  accept(peer: number, timeout: Seconds, purpose = WORLD_RING): Promise<Edge> {
    return this.pending.take(peer, timeout, purpose);
  }

  async close(): Promise<void> {
    this.closed = true;
    this.pending.close();
    for (const caller of this.callers) caller.close();
    if (!this.doorman.closed) this.doorman.close();
    for (const edge of this.edges) edge.close();
    for (const folder of [...this.folders]) this.removeFolder(folder);
    await this.doorkeeping;
  }

  /** Says hello at the peer's door; undefined when the answer makes no sense. */
  private async call(
    peer: number,
    address: string,
    timeout: Seconds,
    purpose: string,
  ): Promise<Reply | undefined> {
    const caller = new Dealer({
      linger: 0,
      immediate: true,
      sendTimeout: timeout * 1000,
      receiveTimeout: timeout * 1000,
      maxMessageSize: MAX_HANDSHAKE_BYTES,
    });
    this.callers.add(caller);
    try {
      caller.connect(address);
      await caller.send(encodeJson(helloOf(this.member, peer, this.settings, purpose)));
      const [bytes] = await caller.receive();
      return bytes && parseReply(bytes);
    } catch (cause) {
      const ids = { ...this.member, peer, address };
      if (this.closed) throw this.closedWhile(`it called rank ${peer} at ${address}`, ids);
      const what = `rank ${peer} at ${address} did not answer rank ${this.member.rank} within ${timeout} s`;
      throw new TransportError('handshake_timeout', what, { cause, ids });
    } finally {
      this.callers.delete(caller);
      if (!caller.closed) caller.close();
    }
  }

  /** Opens the PAIR that the peer made for this edge, and says the word and whether the lane is in reach. */
  private async enter(peer: number, welcome: Welcome, timeout: Seconds): Promise<Edge> {
    const endpoint = welcome.endpoints.find(reachable);
    const ids = { ...this.member, peer };
    if (this.closed) throw this.closedWhile(`it opened the edge of rank ${peer}`, ids);
    if (endpoint === undefined) {
      const what = `rank ${peer} offers ${welcome.endpoints.join(', ')}, none of which this host can reach`;
      throw new TransportError('refused', what, { ids });
    }
    const edge = this.makeEdge(peer);
    try {
      const { laneSlots, laneSlotBytes } = this.settings;
      if (welcome.lane !== undefined) edge.lane = FileLane.open(welcome.lane, laneSlots, laneSlotBytes);
      edge.socket.connect(endpoint);
      const word = [Buffer.from(welcome.token), Buffer.from(edge.lane ? 'lane' : '')];
      await withDeadline(edge.socket.send(word), timeout, `opening ${endpoint} of rank ${peer}`);
      await withDeadline(edge.socket.receive(), timeout, `the welcome of rank ${peer} at ${endpoint}`);
    } catch (cause) {
      edge.abort();
      const what = `rank ${peer} did not open the edge at ${endpoint} within ${timeout} s`;
      throw new TransportError('handshake_timeout', what, { cause, ids });
    }
    return edge;
  }

  private async keepDoor(): Promise<void> {
    while (!this.doorman.closed) {
      try {
        const [who, bytes] = await this.doorman.receive();
        if (who === undefined || bytes === undefined) continue;
        await this.doorman.send([who, encodeJson(await this.answer(bytes))]);
      } catch (error) {
        // One caller's failure is not the next one's; when the door is closed, the loop ends.
        this.pending.refused(`the door failed: ${String(error)}`);
      }
    }
  }

  private async answer(bytes: Uint8Array): Promise<Reply> {
    const hello = parseHello(bytes);
    if (hello === undefined) return this.refuse('that is no hello of dtrain');
    const { laneSlots, laneSlotBytes } = this.settings;
    const refusal = refusalOf(hello, this.member, this.settings) ?? this.admissions.admit(hello);
    if (refusal !== undefined) return this.refuse(refusal);
    const edge = this.makeEdge(hello.from);
    const endpoints: string[] = [];
    let folder: string | undefined;
    let lane: string | undefined;
    if (this.settings.local !== 'tcp') {
      const { path, inMemory } = privateFolder();
      folder = path;
      this.folders.add(folder);
      endpoints.push(`ipc://${join(folder, 'edge')}`);
      await edge.socket.bind(endpoints[0]!);
      if (this.settings.local === 'auto' && inMemory && laneSlots > 0) {
        lane = join(folder, 'lane');
        edge.lane = FileLane.create(lane, laneSlots, laneSlotBytes);
      }
    }
    if (this.settings.local !== 'ipc') {
      await edge.socket.bind(`tcp://${this.settings.host}:*`);
      endpoints.push(advertised(edge.socket.lastEndpoint ?? '', this.settings));
    }
    const token = randomBytes(16).toString('hex');
    // Not awaited: the door stays open for other ranks. It reports through `accept`, and cannot reject.
    void this.admit(edge, hello, token, folder);
    return { welcome: { endpoints, token, ...(edge.lane && lane !== undefined ? { lane } : {}) } };
  }

  private refuse(reason: string): Reply {
    this.pending.refused(reason);
    return { refused: reason };
  }

  /** Waits until the peer has said the word; the edge is then open, and its files are no longer needed. */
  private async admit(
    edge: SocketEdge<Pair>,
    hello: Hello,
    token: string,
    folder: string | undefined,
  ): Promise<void> {
    try {
      const [word, lane] = await edge.socket.receive();
      if (word?.toString() !== token) {
        edge.abort();
        this.pending.refused(`somebody else came to the edge of rank ${edge.peer}`);
        this.admissions.forget(hello);
        return;
      }
      if (lane?.toString() !== 'lane') {
        edge.lane?.close();
        edge.lane = undefined;
      }
      await edge.socket.send(Buffer.from(token));
      this.pending.offer(edge, hello.purpose);
    } catch (error) {
      this.pending.refused(`rank ${edge.peer} said hello but did not open its edge: ${String(error)}`);
    } finally {
      if (folder !== undefined) this.removeFolder(folder);
    }
  }

  private closedWhile(doing: string, ids: Readonly<Record<string, unknown>>): TransportError {
    return new TransportError('edge_closed', `the transport was closed while ${doing}`, { ids });
  }

  private removeFolder(folder: string): void {
    this.folders.delete(folder);
    rmSync(folder, { recursive: true, force: true });
  }

  private makeEdge(peer: number): SocketEdge<Pair> {
    const { linger, sendTimeout, maxMessageBytes } = this.settings;
    const socket = new Pair({
      immediate: true,
      linger: linger * 1000,
      sendTimeout: sendTimeout * 1000,
      sendHighWaterMark: SOCKET_MESSAGES,
      receiveHighWaterMark: SOCKET_MESSAGES,
      maxMessageSize: maxMessageBytes,
    });
    const edge = new SocketEdge(peer, socket, this.settings);
    socket.events.on('disconnect', () => edge.disconnected());
    this.edges.add(edge);
    edge.whenClosed = () => this.edges.delete(edge);
    return edge;
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
