import type { JobRecord, JobState } from '../../protocol/index.js';
import {
  DuplicateSubmissionError,
  IdempotencyConflictError,
  RequestError,
  VersionConflictError,
} from '../errors.js';
import { recordOf } from './record.js';
import { fold, isOver, transition, type JobEvent, type JobEventOf } from './state.js';
import type { Append, JobList, JobListQuery, JobStore, SubmissionKeys } from './store.js';

interface Entry {
  readonly id: string;
  readonly events: JobEvent[];
  write: string;
}

/** The store's meaning in its plainest form: the reference for its conformance suite. Forgets all with the process. */
export class MemoryJobStore implements JobStore {
  private readonly jobs: Entry[] = [];
  private readonly same = new Map<string, string>();
  private readonly idempotency = new Map<string, { id: string; body: string }>();

  find(keys: SubmissionKeys): Promise<string | undefined> {
    return Promise.resolve().then(() => this.known(keys));
  }

  create(first: JobEventOf<'submitted'>, keys: SubmissionKeys): Promise<{ id: string; created: boolean }> {
    return Promise.resolve().then(() => {
      const known = this.known(keys);
      if (known !== undefined) return { id: known, created: false };
      transition(undefined, first);
      this.jobs.push({ id: first.id, events: [first], write: '' });
      this.same.set(keys.same, first.id);
      if (keys.idempotency)
        this.idempotency.set(keys.idempotency.key, { id: first.id, body: keys.idempotency.body });
      return { id: first.id, created: true };
    });
  }

  append({ id, expected, events, write }: Append): Promise<number> {
    return Promise.resolve().then(() => {
      const entry = this.jobs.find((job) => job.id === id);
      const found = entry?.events.length ?? 0;
      if (entry && found !== expected && entry.write === write) return found;
      if (!entry || found !== expected) throw new VersionConflictError(id, expected, found);
      entry.events.push(...events);
      entry.write = write;
      if (isOver(fold(entry.events))) {
        for (const [key, job] of this.same) if (job === id) this.same.delete(key);
      }
      return entry.events.length;
    });
  }

  load(id: string): Promise<readonly JobEvent[] | undefined> {
    return Promise.resolve(this.jobs.find((job) => job.id === id)?.events.slice());
  }

  record(id: string): Promise<JobRecord | undefined> {
    const entry = this.jobs.find((job) => job.id === id);
    return Promise.resolve(entry && recordOf(fold(entry.events)));
  }

  list({ state, limit, cursor }: JobListQuery): Promise<JobList> {
    return Promise.resolve().then(() => {
      const before = cursor === undefined ? this.jobs.length : Number(cursor);
      if (!Number.isInteger(before))
        throw new RequestError('bad_cursor', 'cursor: not one that a page of jobs gave');
      const matching = this.jobs
        .map((entry, index) => ({ index, record: recordOf(fold(entry.events)) }))
        .filter(({ index, record }) => index < before && (state === undefined || record.state === state))
        .reverse();
      const page = matching.slice(0, limit);
      const last = page.at(-1);
      return {
        jobs: page.map(({ record }) => record),
        cursor: matching.length > limit && last ? String(last.index) : null,
      };
    });
  }

  counts(): Promise<Partial<Record<JobState, number>>> {
    const counts: Partial<Record<JobState, number>> = {};
    for (const { events } of this.jobs) {
      const { state } = fold(events);
      counts[state] = (counts[state] ?? 0) + 1;
    }
    return Promise.resolve(counts);
  }

  private known({ same, idempotency }: SubmissionKeys): string | undefined {
    const earlier = idempotency && this.idempotency.get(idempotency.key);
    if (earlier) {
      if (earlier.body !== idempotency.body) throw new IdempotencyConflictError(earlier.id);
      return earlier.id;
    }
    const duplicate = this.same.get(same);
    if (duplicate !== undefined) throw new DuplicateSubmissionError(duplicate);
    return undefined;
  }
}
