import t from 'tap';
import { ComputeThread, type ThreadOptions } from '../../../worker/engine/index.js';

/** Threads that have nothing to do, by what they compute with. */
const idle = new Map<string, ComputeThread[]>();

t.teardown(() => Promise.all([...idle.values()].flat().map((thread) => thread.close())));

/** A compute thread: one that has served before, as in an executor, for a start takes longer than most trainings here. */
export async function threadFor(options: ThreadOptions): Promise<ComputeThread> {
  return idle.get(keyOf(options))?.pop() ?? ComputeThread.start(options);
}

/** Gives a thread back when its run has left it, however that went: an executor goes on with its own, too. */
export function keepThread(options: ThreadOptions, thread: ComputeThread): void {
  if (thread.dead) return;
  const free = idle.get(keyOf(options)) ?? [];
  free.push(thread);
  idle.set(keyOf(options), free);
}

function keyOf({ engine, device, threads }: ThreadOptions): string {
  return `${engine} ${device ?? ''} ${threads}`;
}
