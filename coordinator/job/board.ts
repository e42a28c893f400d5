import type { Logger } from '../../base/index.js';
import type { JobRecord } from '../../protocol/index.js';
import { JobNotFoundError, type VersionConflictError } from '../errors.js';
import { JobLedger, type Availability } from './ledger.js';
import { recordOf } from './record.js';
import { fold, isOver, type JobEventOf, type JobOutput, type TrainingJob } from './state.js';
import type { JobStore } from './store.js';

export interface JobView {
  readonly record: JobRecord;
  readonly output: JobOutput;
  /** Events of the job so far: grows with each change. */
  readonly version: number;
}

/** The jobs that this process has a hand in, and the way to all others. */
export class JobBoard {
  private readonly live = new Map<string, JobLedger>();
  private readonly watchers = new Map<string, Set<() => void>>();
  /** For the log, which tells changes of state. */
  private readonly states = new Map<string, string>();
  private readonly unsettled = new Set<Promise<void>>();

  constructor(
    private readonly store: JobStore,
    private readonly availability: Availability,
    private readonly logger: Logger,
    /** Another coordinator writes to a live job: whoever runs it must let go. */
    private readonly lost: (job: string, error: VersionConflictError) => void,
  ) {}

  /** The ledger of a job that is not over. @throws JobNotFoundError, RedisUnavailableError */
  async open(id: string): Promise<JobLedger | undefined> {
    const known = this.live.get(id);
    if (known) return known;
    const events = await this.store.load(id);
    if (!events) throw new JobNotFoundError(id);
    const job = fold(events);
    return isOver(job) ? undefined : this.adopt(job, events.length);
  }

  /** A job that was just created. */
  begin(first: JobEventOf<'submitted'>): JobLedger {
    return this.live.get(first.id) ?? this.adopt(fold([first]), 1);
  }

  find(id: string): JobLedger | undefined {
    return this.live.get(id);
  }

  jobs(): readonly TrainingJob[] {
    return [...this.live.values()].map((ledger) => ledger.job);
  }

  /** @throws JobNotFoundError, RedisUnavailableError */
  async view(id: string): Promise<JobView> {
    const ledger = this.live.get(id);
    if (ledger) return { record: recordOf(ledger.job), output: ledger.job.output, version: ledger.length };
    const events = await this.store.load(id);
    if (!events) throw new JobNotFoundError(id);
    const job = fold(events);
    return { record: recordOf(job), output: job.output, version: events.length };
  }

  /** @throws JobNotFoundError, RedisUnavailableError */
  async job(id: string): Promise<TrainingJob> {
    const ledger = this.live.get(id);
    if (ledger) return ledger.job;
    const events = await this.store.load(id);
    if (!events) throw new JobNotFoundError(id);
    return fold(events);
  }

  /** Calls back when a job or its files change; the returned function ends that. */
  watch(id: string, callback: () => void): () => void {
    const callbacks = this.watchers.get(id) ?? new Set();
    callbacks.add(callback);
    this.watchers.set(id, callbacks);
    return () => {
      callbacks.delete(callback);
      if (callbacks.size === 0) this.watchers.delete(id);
    };
  }

  /** Something about a job changed that its watchers may want to see. */
  touch(id: string): void {
    for (const callback of this.watchers.get(id) ?? []) callback();
  }

  /** Resolves when all that was recorded is in the store. */
  async settled(): Promise<void> {
    await Promise.all([...this.unsettled, ...[...this.live.values()].map((ledger) => ledger.settled())]);
  }

  /** Gives up on what could not be written. */
  close(): void {
    for (const ledger of this.live.values()) ledger.abandon();
    this.watchers.clear();
  }

  private adopt(job: TrainingJob, version: number): JobLedger {
    const ledger = new JobLedger(job, version, this.store, this.availability, this.logger, {
      changed: (changed) => this.changed(changed),
      lost: (conflicted, error) => {
        this.live.delete(conflicted.job.id);
        this.lost(conflicted.job.id, error);
        this.touch(conflicted.job.id);
      },
    });
    this.live.set(job.id, ledger);
    return ledger;
  }

  private changed(ledger: JobLedger): void {
    const { job } = ledger;
    if (this.states.get(job.id) !== job.state) this.logger.info({ job: job.id, state: job.state }, 'job');
    this.states.set(job.id, job.state);
    this.touch(job.id);
    if (!isOver(job)) return;
    // readers see the end from here until the store has it
    const settled = Promise.resolve()
      .then(() => ledger.settled())
      .then(() => {
        this.live.delete(job.id);
        this.states.delete(job.id);
        this.unsettled.delete(settled);
      });
    this.unsettled.add(settled);
  }
}
