import type { ErrorReport } from '../../base/index.js';
import type { RingOptions } from '../communicator/options.js';
import type { WireFormat } from '../kernels/kernels.js';

/** What a rank's process has to do. Plain JSON: it crosses a process boundary. */
export interface RankTask {
  readonly job: string;
  readonly rank: number;
  readonly ranks: number;
  readonly bytes: number;
  readonly wire: WireFormat;
  readonly repeats: number;
  readonly warmUp: number;
  readonly local: 'auto' | 'tcp' | 'ipc';
  readonly ring: Partial<
    Pick<RingOptions, 'maxPieceBytes' | 'minPieceBytes' | 'window' | 'inFlight' | 'deadline'>
  >;
}

export type ToRank =
  | { readonly kind: 'task'; readonly task: RankTask }
  | { readonly kind: 'addresses'; readonly addresses: readonly string[] };

export type FromRank =
  | { readonly kind: 'address'; readonly address: string }
  /** The seconds of each run, and the first wrong element of any run (-1: all were compared and right). */
  | { readonly kind: 'result'; readonly seconds: readonly number[]; readonly wrong: number }
  | { readonly kind: 'error'; readonly report: ErrorReport };
