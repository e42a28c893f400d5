import type { Clock, Seconds } from '../../base/index.js';
import type { JobState } from '../../protocol/index.js';
import { RedisUnavailableError } from '../errors.js';
import type { JobStore } from '../job/index.js';
import type { ControlQueue } from '../queue/index.js';

const COUNT_SECONDS: Seconds = 5;

/** Numbers that only Redis knows, counted from time to time so that a scrape need not ask. */
export class Counts {
  jobs: Readonly<Partial<Record<JobState, number>>> = {};
  queued = 0;
  private cancel: () => void = () => undefined;
  private closed = false;

  constructor(
    private readonly store: JobStore,
    private readonly queue: ControlQueue,
    private readonly clock: Clock,
  ) {
    void this.count();
  }

  close(): void {
    this.closed = true;
    this.cancel();
  }

  private async count(): Promise<void> {
    try {
      this.jobs = await this.store.counts();
      this.queued = await this.queue.waiting();
    } catch (error) {
      if (!(error instanceof RedisUnavailableError)) throw error; // the last numbers stay meanwhile
    }
    if (!this.closed) this.cancel = this.clock.after(COUNT_SECONDS, () => void this.count());
  }
}
