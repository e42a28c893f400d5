import type { Submission } from '../../protocol/index.js';
import type { ArtifactStore } from '../artifacts/index.js';
import type { Dispatcher } from '../dispatch/index.js';
import type { JobBoard, JobStore } from '../job/index.js';
import type { Members } from '../membership/index.js';
import type { CoordinatorMetrics } from '../metrics/index.js';
import type { RedisLink } from '../redis/index.js';

/** What the routes work on. */
export interface RestContext {
  readonly board: JobBoard;
  readonly store: JobStore;
  readonly members: Members;
  readonly dispatcher: Dispatcher;
  readonly artifacts: ArtifactStore;
  readonly redis: RedisLink;
  readonly metrics: CoordinatorMetrics;
  /** Where the logs of jobs lie. */
  readonly jobsDir: string;
  readonly grpcAddress: string;
  /** @returns the job's id and whether it is new */
  submit(
    submission: Submission,
    idempotencyKey: string | undefined,
  ): Promise<{ id: string; created: boolean }>;
  /** Aborted when the server closes: streams end. */
  readonly closing: AbortSignal;
}
