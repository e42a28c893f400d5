import type { Submission } from '../../protocol/index.js';
import type { Plan } from '../../scheduler/index.js';
import type { JobBoard } from '../job/index.js';
import type { ControlQueue } from '../queue/index.js';
import { planSubmission, submit, type SubmitterOptions } from './submit.js';

export interface IntakeOptions extends SubmitterOptions {
  readonly board: JobBoard;
  readonly queue: ControlQueue;
}

/** From a submission to the control queue. */
export class Intake {
  constructor(private readonly options: IntakeOptions) {}

  /** @throws as `submit`; a RedisUnavailableError may leave the job queued: the same Idempotency-Key finds it */
  async submit(
    submission: Submission,
    idempotencyKey: string | undefined,
  ): Promise<{ id: string; created: boolean }> {
    const { board, queue } = this.options;
    const { id, first } = await submit(submission, idempotencyKey, this.options);
    if (first) {
      board.begin(first);
      await queue.add({ kind: 'launch', jobId: id });
    } else if ((await board.job(id)).state === 'queued') {
      // Redis may have gone between the two steps of the first time
      await queue.add({ kind: 'launch', jobId: id });
    }
    return { id, created: first !== undefined };
  }

  /** The plan of a submission, which stays one. @throws as `planSubmission` */
  plan(submission: Submission): Promise<Plan> {
    return planSubmission(submission, this.options);
  }

  /** Queues every job that waits: after a restart, and after an outage that came between a submission's two steps. */
  async requeue(): Promise<void> {
    const { store, queue } = this.options;
    const ids: string[] = [];
    let cursor: string | null = null;
    do {
      const page = await store.list({ state: 'queued', limit: 100, ...(cursor === null ? {} : { cursor }) });
      ids.push(...page.jobs.map((job) => job.id));
      ({ cursor } = page);
    } while (cursor !== null);
    for (const jobId of ids.reverse()) await queue.add({ kind: 'launch', jobId });
  }
}
