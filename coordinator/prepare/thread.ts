import { InvariantError, type Logger } from '../../base/index.js';
import type { JobSpec } from '../../protocol/index.js';
import type { Inspection } from './inspect.js';
import { TaskThread } from './task-thread.js';

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

/** Inspections remembered by content; a job that is submitted again is not looked at again. */
const REMEMBERED = 32;

/**
 * `Preparation` in threads of its own: one for inspections, one for exports, so that a job that has ended does not
 * wait behind one whose data are being read.
 */
export class PreparationThreads implements Preparation {
  private readonly inspector: TaskThread;
  private readonly exporter: TaskThread;
  private readonly remembered = new Map<string, Inspection>();

  constructor(logger: Logger) {
    this.inspector = new TaskThread(logger);
    this.exporter = new TaskThread(logger);
    this.inspector.start();
  }

  /** @throws whatever inspectJob throws, as its report; HostError `preparation_failed` */
  async inspect(job: JobSpec, paths: ReadonlyMap<string, string>): Promise<Inspection> {
    // everything that the answer depends on: artifacts go by their hash
    const { model, weights, frozen, data, loss, batch, steps, optimizer, communication } = job;
    const { batchNormalization, lossOutput } = job;
    const what = [model, weights, frozen, data, loss, batch, steps, optimizer, communication];
    const key = JSON.stringify([...what, batchNormalization, lossOutput ?? null]);
    const known = this.remembered.get(key);
    if (known) return known;
    const answer = await this.inspector.ask({ kind: 'inspect', job, paths });
    if (answer.kind !== 'inspected')
      throw new InvariantError(`an inspection was answered with "${answer.kind}"`);
    this.remembered.set(key, answer.inspection);
    if (this.remembered.size > REMEMBERED) this.remembered.delete(this.remembered.keys().next().value!);
    return answer.inspection;
  }

  async exportModel(paths: { model: string; weights: string; to: string }): Promise<void> {
    await this.exporter.ask({ kind: 'export', ...paths });
  }

  async close(): Promise<void> {
    await Promise.all([this.inspector.close(), this.exporter.close()]);
  }
}
