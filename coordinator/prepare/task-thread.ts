import { Worker } from 'node:worker_threads';
import { fromReport, type Logger } from '../../base/index.js';
import { HostError } from '../errors.js';
import type { PrepareAnswer, PrepareTask } from './messages.js';

interface Waiting {
  readonly resolve: (answer: PrepareAnswer) => void;
  readonly reject: (error: HostError) => void;
}

/**
 * A thread that does preparation tasks one after the other. One that dies (a model too large for its memory) fails
 * its tasks and is started anew by the next.
 */
export class TaskThread {
  private worker: Worker | undefined;
  private readonly waiting = new Map<number, Waiting>();
  private counter = 0;
  private closed = false;

  constructor(private readonly logger: Logger) {}

  /** Loads the thread's code: the first task need not wait for that. */
  start(): void {
    if (!this.closed) this.worker ??= this.spawn();
  }

  /** @throws what the task failed with; HostError `preparation_failed`, `shutting_down` */
  async ask(task: PrepareTask): Promise<PrepareAnswer> {
    if (this.closed) throw new HostError('shutting_down', 'the coordinator is ending');
    const id = ++this.counter;
    const worker = (this.worker ??= this.spawn());
    const answer = await new Promise<PrepareAnswer>((resolve, reject) => {
      this.waiting.set(id, { resolve, reject });
      worker.postMessage({ id, task });
    }).finally(() => this.waiting.delete(id));
    if (answer.kind === 'failed') throw fromReport(answer.error);
    return answer;
  }

  /** Ends the task in progress too: it rejects. */
  async close(): Promise<void> {
    this.closed = true;
    await this.worker?.terminate();
  }

  private spawn(): Worker {
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
