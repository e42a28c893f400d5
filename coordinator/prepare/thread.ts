import { InvariantError, sha256, type Logger } from '../../base/index.js';
import type { JobSpec } from '../../protocol/index.js';
import type { Plan } from '../../scheduler/index.js';
import type { Inspection } from './inspect.js';
import type { PlanQuestion, PrepareAnswer, PrepareTask } from './messages.js';
import { TaskThread } from './task-thread.js';

/** Work on models and data that takes longer than a heartbeat may wait. */
export interface Preparation {
  inspect(job: JobSpec, paths: ReadonlyMap<string, string>): Promise<Inspection>;
  plan(question: PlanQuestion): Promise<Plan>;
  exportModel(paths: {
    readonly model: string;
    readonly weights: string;
    readonly to: string;
  }): Promise<void>;
  mergeWeights(paths: { readonly parts: readonly string[]; readonly to: string }): Promise<void>;
  /** Ends work in progress: it rejects. */
  close(): Promise<void>;
}

/** Answers remembered by what was asked; a job that is submitted again is not looked at again. */
const REMEMBERED = 32;

/**
 * `Preparation` in threads of its own: one for inspections, one for plans, one for exports, so that a job that has ended
 * or could start does not wait behind one whose data are being read.
 */
export class PreparationThreads implements Preparation {
  private readonly inspector: TaskThread;
  private readonly planner: TaskThread;
  private readonly exporter: TaskThread;
  private readonly inspections = new Map<string, Inspection>();
  private readonly plans = new Map<string, Plan>();

  constructor(logger: Logger) {
    this.inspector = new TaskThread(logger);
    this.planner = new TaskThread(logger);
    this.exporter = new TaskThread(logger);
    this.inspector.start();
  }

  /** @throws whatever inspectJob throws, as its report; HostError `preparation_failed` */
  inspect(job: JobSpec, paths: ReadonlyMap<string, string>): Promise<Inspection> {
    // everything that the answer depends on: artifacts go by their hash
    const { model, weights, frozen, data, loss, batch, steps, optimizer, communication } = job;
    const { batchNormalization, lossOutput } = job;
    const what = [model, weights, frozen, data, loss, batch, steps, optimizer, communication];
    const key = JSON.stringify([...what, batchNormalization, lossOutput ?? null]);
    this.planner.start(); // as a rule its turn is next
    return remembered(this.inspections, key, async () => {
      return (await ask(this.inspector, { kind: 'inspect', job, paths }, 'inspected')).inspection;
    });
  }

  /** @throws whatever makePlan throws, as its report; HostError `preparation_failed` */
  plan(question: PlanQuestion): Promise<Plan> {
    return remembered(this.plans, sha256(JSON.stringify(question)), async () => {
      return (await ask(this.planner, { kind: 'plan', question }, 'planned')).plan;
    });
  }

  async exportModel(paths: { model: string; weights: string; to: string }): Promise<void> {
    await ask(this.exporter, { kind: 'export', ...paths }, 'exported');
  }

  async mergeWeights(paths: { parts: readonly string[]; to: string }): Promise<void> {
    await ask(this.exporter, { kind: 'merge', ...paths }, 'merged');
  }

  async close(): Promise<void> {
    await Promise.all([this.inspector, this.planner, this.exporter].map((thread) => thread.close()));
  }
}

async function ask<K extends PrepareAnswer['kind']>(
  thread: TaskThread,
  task: PrepareTask,
  kind: K,
): Promise<Extract<PrepareAnswer, { kind: K }>> {
  const answer = await thread.ask(task);
  if (answer.kind !== kind) throw new InvariantError(`"${task.kind}" was answered with "${answer.kind}"`);
  return answer as Extract<PrepareAnswer, { kind: K }>;
}

/** What was made under a key before, or is made now; failures are not kept. */
async function remembered<T>(known: Map<string, T>, key: string, make: () => Promise<T>): Promise<T> {
  const made = known.get(key) ?? (await make());
  known.set(key, made);
  if (known.size > REMEMBERED) known.delete(known.keys().next().value!);
  return made;
}
