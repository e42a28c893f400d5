import type { JobRecord, JobState } from '../../protocol/index.js';
import type { JobEvent, JobEventOf, TrainingJob } from './state.js';

/** What makes two submissions one. Digests, so that nothing of a key's text reaches the store. */
export interface SubmissionKeys {
  /** Of the job and its output folder: while such a job is not over, another is refused. */
  readonly same: string;
  /** The Idempotency-Key, and the digest of the body that it was used with. */
  readonly idempotency?: { readonly key: string; readonly body: string };
}

export interface JobListQuery {
  readonly state?: JobState;
  readonly limit: number;
  /** From an earlier page; opaque. */
  readonly cursor?: string;
}

export interface JobList {
  readonly jobs: readonly JobRecord[];
  readonly cursor: string | null;
}

/** An addition to a job's log. */
export interface Append {
  readonly id: string;
  /** Events that the log holds as far as the writer knows. */
  readonly expected: number;
  readonly events: readonly JobEvent[];
  /** The job once they are added. */
  readonly after: TrainingJob;
  /** Unique to this write: given twice (an answer was lost), it is done once. */
  readonly write: string;
}

/**
 * Where jobs live: an append-only log of events each, and an index over all of them.
 *
 * Guarantees: a write is all or nothing and durable as far as the store is; logs never change; of two writers
 * that expect the same length one gets VersionConflictError. Every method throws
 * RedisUnavailableError, soon, when the store cannot be reached.
 */
export interface JobStore {
  /**
   * The job that these keys already name: the one to answer a repeated Idempotency-Key with.
   * @throws IdempotencyConflictError, DuplicateSubmissionError
   */
  find(keys: SubmissionKeys): Promise<string | undefined>;
  /**
   * Begins a log, unless the keys name a job already (checked in the same step).
   * @returns the id of the new job, or of the one that the Idempotency-Key names
   * @throws IdempotencyConflictError, DuplicateSubmissionError
   */
  create(
    first: JobEventOf<'submitted'>,
    keys: SubmissionKeys,
  ): Promise<{ readonly id: string; readonly created: boolean }>;
  /**
   * @returns the log's length afterwards
   * @throws VersionConflictError when it is not `expected` long
   */
  append(addition: Append): Promise<number>;
  /** All events of a job in order, or undefined where there is no such job. */
  load(id: string): Promise<readonly JobEvent[] | undefined>;
  /** The job as its last event left it. */
  record(id: string): Promise<JobRecord | undefined>;
  /** Newest first. */
  list(query: JobListQuery): Promise<JobList>;
  /** How many jobs there are in each state. */
  counts(): Promise<Readonly<Partial<Record<JobState, number>>>>;
}
