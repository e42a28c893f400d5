import { Worker } from 'node:worker_threads';
import { fromReport, InvariantError, type Logger } from '../../base/index.js';
import type { JobSpec } from '../../protocol/index.js';
import { HostError } from '../errors.js';
import type { Inspection } from './inspect.js';
import type { PrepareAnswer, PrepareTask } from './messages.js';

/** Work on models and data that takes longer than a heartbeat may wait. */
export interface Preparation {
  inspect(job: JobSpec, paths: ReadonlyMap<string, string>): Promise<Inspection>;
  exportModel(paths: {
    readonly model: string;
    readonly weights: string;
    readonly to: string;
  }): Promise<void>;
  /** Ends work in progress: it rejects. */
  close(): Promise<void>;
}

interface Waiting {
  readonly resolve: (answer: PrepareAnswer) => void;
  readonly reject: (error: HostError) => void;
}

/** Inspections remembered by content; a job that is submitted again is not looked at again. */
const REMEMBERED = 32;

/**
 * `Preparation` in a thread of its own. Tasks are done one after the other. A thread
 * that dies (a model too large for its memory) fails its tasks and is started anew by the next.
 */
export class PreparationThread implements Preparation {
  private worker: Worker | undefined;
  private readonly waiting = new Map<number, Waiting>();
  private readonly remembered = new Map<string, Inspection>();
  private counter = 0;
  private closed = false;

  /** Starts the thread: loading its code takes a while, and the first submission should not wait for it. */
  constructor(private readonly logger: Logger) {
    this.worker = this.start();
  }

  /** @throws whatever inspectJob throws, as its report; HostError `preparation_failed` */
  async inspect(job: JobSpec, paths: ReadonlyMap<string, string>): Promise<Inspection> {
    // everything that the answer depends on: artifacts go by their hash
    const key = JSON.stringify([job.model, job.data, job.loss, job.batch, job.optimizer, job.communication]);
    const known = this.remembered.get(key);
    if (known) return known;
    const answer = await this.ask({ kind: 'inspect', job, paths });
    if (answer.kind !== 'inspected')
      throw new InvariantError(`an inspection was answered with "${answer.kind}"`);
    this.remembered.set(key, answer.inspection);
    if (this.remembered.size > REMEMBERED) this.remembered.delete(this.remembered.keys().next().value!);
    return answer.inspection;
  }

  async exportModel(paths: { model: string; weights: string; to: string }): Promise<void> {
    await this.ask({ kind: 'export', ...paths });
  }

  async close(): Promise<void> {
    this.closed = true;
    const { worker } = this;
    this.worker = undefined;
    await worker?.terminate();
  }

  private async ask(task: PrepareTask): Promise<PrepareAnswer> {
    if (this.closed) throw new HostError('shutting_down', 'the coordinator is ending');
    const id = ++this.counter;
    const worker = (this.worker ??= this.start());
    const answer = await new Promise<PrepareAnswer>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      worker.postMessage({ id, task });
    }).finally(() => this.waiting.delete(id));
    if (answer.kind === 'failed') throw fromReport(answer.error);
    return answer;
  }

  private start(): Worker {
    const worker = new Worker(new URL('./main.js', import.meta.url));
    worker.unref();
    worker.on('message', (answer: PrepareAnswer) => this.waiting.get(answer.id)?.resolve(answer));
    worker.on('error', (cause) => this.died(worker, cause));
    worker.on('exit', () => this.died(worker));
    return worker;
  }

  private died(worker: Worker, cause?: unknown): void {
    if (this.worker === worker) this.worker = undefined;
    if (this.waiting.size === 0) return;
    const reason =
      cause instanceof Error ? cause.message : this.closed ? 'the coordinator is ending' : 'its thread ended';
    if (!this.closed) this.logger.error({ err: cause }, 'the preparation thread died');
    const error = new HostError('preparation_failed', `the model or data could not be prepared: ${reason}`, {
      cause,
    });
    for (const { reject } of this.waiting.values()) reject(error);
  }
}
