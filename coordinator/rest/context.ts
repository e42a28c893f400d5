import type { ArtifactStore } from '../artifacts/index.js';
import type { Dispatcher } from '../dispatch/index.js';
import type { JobBoard, JobStore } from '../job/index.js';
import type { Members } from '../membership/index.js';
import type { CoordinatorMetrics } from '../metrics/index.js';
import type { RedisLink } from '../redis/index.js';
import type { Intake } from '../submission/index.js';

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
  readonly intake: Intake;
  /** Aborted when the server closes: streams end. */
  readonly closing: AbortSignal;
}
