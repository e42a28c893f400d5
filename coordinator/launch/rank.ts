import type { ErrorReport } from '../../base/index.js';

/** One rank of a launch, as far as the coordinator knows. */
export interface Rank {
  readonly device: string;
  /** Where it listens, once it is ready. */
  readonly endpoint?: string;
  /** `gone`: it runs nothing of this launch any more, because it stopped or its device was lost. */
  readonly status: 'active' | 'finished' | 'gone';
}

/** Why a launch failed, and the device that it happened on. */
export interface Failure extends ErrorReport {
  readonly device: string | null;
}
