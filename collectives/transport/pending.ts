import type { Clock, Seconds } from '../../base/index.js';
import { CollectiveUsageError, TransportError } from '../errors.js';
import { mistakeInPurpose } from './handshake.js';
import type { Edge, Member } from './transport.js';

interface Waiter {
  readonly peer: number;
  resolve(edge: Edge): void;
  reject(error: TransportError): void;
}

/** Edges from peers, each met by the `accept` that waits for it, whichever comes first. */
export class PendingEdges {
  private readonly arrived = new Map<string, { readonly edge: Edge; readonly purpose: string }>();
  private readonly waiting = new Map<string, Waiter>();
  private readonly refusals: string[] = [];

  constructor(
    private readonly member: Member,
    private readonly clock: Clock,
  ) {}

  offer(edge: Edge, purpose: string): void {
    const key = keyOf(edge.peer, purpose);
    const waiter = this.waiting.get(key);
    if (waiter) waiter.resolve(edge);
    else this.arrived.set(key, { edge, purpose });
  }

  /** Remembers that somebody was turned away, to be told by an `accept` that waits in vain. */
  refused(reason: string): void {
    const KEPT = 8;
    this.refusals.push(reason);
    if (this.refusals.length > KEPT) this.refusals.shift();
  }

  take(peer: number, timeout: Seconds, purpose: string): Promise<Edge> {
    const key = keyOf(peer, purpose);
    const mistake = mistakeInPurpose(purpose);
    if (mistake !== undefined) return Promise.reject(new CollectiveUsageError(mistake, { peer }));
    const found = this.arrived.get(key);
    if (found) {
      this.arrived.delete(key);
      return Promise.resolve(found.edge);
    }
    if (this.waiting.has(key)) {
      const what = `the edge "${purpose}" from rank ${peer} is waited for already`;
      return Promise.reject(new CollectiveUsageError(what, { peer, purpose }));
    }
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        cancel();
        this.waiting.delete(key);
      };
      const cancel = this.clock.after(timeout, () => {
        settle();
        const { job, epoch, rank } = this.member;
        const what = `job ${job}, epoch ${epoch}: rank ${peer} did not connect to rank ${rank} for "${purpose}" within ${timeout} s`;
        const ids = { job, epoch, rank, peer, purpose };
        reject(new TransportError('handshake_timeout', what + this.meanwhile(peer), { ids }));
      });
      this.waiting.set(key, {
        peer,
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
    for (const waiter of [...this.waiting.values()]) {
      const { peer } = waiter;
      waiter.reject(
        new TransportError('edge_closed', `the transport was closed while it waited for rank ${peer}`),
      );
    }
    for (const { edge } of this.arrived.values()) edge.abort();
    this.arrived.clear();
  }

  /** What else happened at the door: it often tells why somebody did not come. */
  private meanwhile(peer: number): string {
    const others = [...this.arrived.values()].filter(({ edge }) => edge.peer === peer);
    const instead = others.map(({ purpose }) => `"${purpose}"`).join(', ');
    const parts = [
      ...(this.refusals.length === 0 ? [] : [`refused meanwhile: ${this.refusals.join('; ')}`]),
      ...(instead === '' ? [] : [`it came for ${instead}`]),
    ];
    return parts.length === 0 ? '' : ` (${parts.join('; ')})`;
  }
}

function keyOf(peer: number, purpose: string): string {
  return `${peer} ${purpose}`;
}
