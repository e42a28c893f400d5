import { randomId, type Logger } from '../../base/index.js';
import { RedisUnavailableError, VersionConflictError } from '../errors.js';
import { transition, type JobEvent, type Progress, type TrainingJob } from './state.js';
import type { JobStore } from './store.js';

/** When a store that was away can be asked again. */
export interface Availability {
  readonly isUp: boolean;
  onChange(listener: (up: boolean) => void): () => void;
}

const RETRY_MS = 250;
/** Progress is recorded no more often than this: the rows of metrics.jsonl tell every step. */
const PROGRESS_MS = 5000;

/**
 * One live job in this process: its state now, and the events on their way into the store.
 *
 * An event counts at once here and is written behind, in order; while the store is away events wait, and are
 * written when it is back. When another coordinator wrote to the same job the ledger is `lost`: nothing more is
 * written, and whoever runs the job must let go of it.
 */
export class JobLedger {
  private readonly outbox: JobEvent[] = [];
  private written: TrainingJob;
  private writing: Promise<void> | undefined;
  private wake: (() => void) | undefined;
  private abandoned = false;
  private progressAt = -Infinity;

  constructor(
    private current: TrainingJob,
    private version: number,
    private readonly store: JobStore,
    private readonly availability: Availability,
    private readonly logger: Logger,
    private readonly events: {
      changed(ledger: JobLedger): void;
      lost(ledger: JobLedger, error: VersionConflictError): void;
    },
  ) {
    this.written = current;
  }

  get job(): TrainingJob {
    return this.current;
  }

  /** The events of the job so far, written or not: the position in its stream of changes. */
  get length(): number {
    return this.version + this.outbox.length;
  }

  /** @throws IllegalTransitionError; nothing is recorded then */
  record(...events: readonly JobEvent[]): void {
    this.current = events.reduce(transition, this.current);
    this.outbox.push(...events);
    this.events.changed(this);
    this.writing ??= this.write().finally(() => (this.writing = undefined));
  }

  /** Takes note of a running job's numbers: shown at once, recorded from time to time. */
  observe(progress: Progress, epochMs: number): void {
    if (epochMs - this.progressAt >= PROGRESS_MS) {
      this.progressAt = epochMs;
      this.record({ type: 'progressed', at: epochMs, progress });
    } else if (this.current.state === 'running') {
      this.current = { ...this.current, progress };
    }
  }

  /** Resolves when all is written, or nothing more will be (lost, abandoned). */
  async settled(): Promise<void> {
    await this.writing;
  }

  /** Gives up on what is not written: the process ends. */
  abandon(): void {
    this.abandoned = true;
    this.wake?.();
  }

  private async write(): Promise<void> {
    while (this.outbox.length > 0 && !this.abandoned) {
      const events = this.outbox.slice();
      const addition = {
        id: this.current.id,
        expected: this.version,
        events,
        after: events.reduce(transition, this.written),
        write: randomId('write'),
      };
      const version = await this.append(addition);
      if (version === undefined) return;
      this.version = version;
      this.written = addition.after;
      this.outbox.splice(0, events.length);
    }
  }

  /** Tries until the store takes it; undefined when it never will. */
  private async append(addition: Parameters<JobStore['append']>[0]): Promise<number | undefined> {
    while (!this.abandoned) {
      try {
        return await this.store.append(addition);
      } catch (error) {
        if (error instanceof VersionConflictError) {
          this.abandoned = true;
          this.events.lost(this, error);
          return undefined;
        }
        if (!(error instanceof RedisUnavailableError)) throw error;
        this.logger.warn({ job: addition.id, events: addition.events.length }, 'the job log waits for Redis');
        await this.untilAvailable();
      }
    }
    return undefined;
  }

  private untilAvailable(): Promise<void> {
    return new Promise((resolve) => {
      // a store that says it is up may still refuse: then ask again after a while
      const timer = this.availability.isUp ? setTimeout(() => done(), RETRY_MS) : undefined;
      const stop = this.availability.onChange((up) => {
        if (up) done();
      });
      const done = () => {
        clearTimeout(timer);
        stop();
        this.wake = undefined;
        resolve();
      };
      this.wake = done;
    });
  }
}
