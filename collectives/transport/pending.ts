import type { Clock, Seconds } from '../../base/index.js';
import { TransportError } from '../errors.js';
import type { Edge, Member } from './transport.js';

/** Edges from peers, each met by the `accept` that waits for it, whichever comes first. */
export class PendingEdges {
  private readonly arrived = new Map<number, Edge>();
  private readonly waiting = new Map<
    number,
    { resolve(edge: Edge): void; reject(error: TransportError): void }
  >();
  private readonly refusals: string[] = [];

  constructor(
    private readonly member: Member,
    private readonly clock: Clock,
  ) {}

  offer(edge: Edge): void {
    const waiter = this.waiting.get(edge.peer);
    if (waiter) waiter.resolve(edge);
    else this.arrived.set(edge.peer, edge);
  }

  /** Remembers that somebody was turned away, to be told by an `accept` that waits in vain. */
  refused(reason: string): void {
    const KEPT = 8;
    this.refusals.push(reason);
    if (this.refusals.length > KEPT) this.refusals.shift();
  }

  take(peer: number, timeout: Seconds): Promise<Edge> {
    const edge = this.arrived.get(peer);
    if (edge) {
      this.arrived.delete(peer);
      return Promise.resolve(edge);
    }
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        cancel();
        this.waiting.delete(peer);
      };
      const cancel = this.clock.after(timeout, () => {
        settle();
        const others = this.refusals.length === 0 ? '' : ` (refused meanwhile: ${this.refusals.join('; ')})`;
        const { job, epoch, rank } = this.member;
        reject(
          new TransportError(
            'handshake_timeout',
            `job ${job}, epoch ${epoch}: rank ${peer} did not connect to rank ${rank} within ${timeout} s${others}`,
            { ids: { job, epoch, rank, peer } },
          ),
        );
      });
      this.waiting.set(peer, {
        resolve: (arrived) => {
          settle();
          resolve(arrived);
        },
        reject: (error) => {
          settle();
          reject(error);
        },
      });
    });
  }

  /** Ends every wait, and closes the edges that nobody came for. */
  close(): void {
    for (const [peer, waiter] of [...this.waiting]) {
      waiter.reject(
        new TransportError('edge_closed', `the transport was closed while it waited for rank ${peer}`),
      );
    }
    for (const edge of this.arrived.values()) edge.abort();
    this.arrived.clear();
  }
}
