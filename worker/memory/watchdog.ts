import { readFileSync } from 'node:fs';
import type { Bytes } from '../../base/index.js';

/** What a process may take over its budget before its run is stopped: accounts are that exact at best. */
export const TOLERANCE = 0.1;
/** At so many budgets nobody waits for the run to end by itself. */
const EXIT_BUDGETS = 2;

export type Verdict = 'fine' | 'stop' | 'exit';

/** What is to be done about a process that holds `resident` bytes of a budget. */
export function judge(resident: Bytes, budget: Bytes): Verdict {
  if (resident > EXIT_BUDGETS * budget) return 'exit';
  return resident > (1 + TOLERANCE) * budget ? 'stop' : 'fine';
}

/**
 * The memory that a process keeps from others: anonymous and shared pages (proc_pid_status(5): RssAnon, RssShmem).
 * Pages of files are not counted, for the system can drop them at any time.
 * @param pid this process where it is left out
 * @returns undefined where the system does not tell: it is not Linux, or there is no such process any more
 */
export function residentBytes(pid?: number): Bytes | undefined {
  try {
    const status = readFileSync(`/proc/${pid ?? 'self'}/status`, 'utf8');
    const [anonymous, shared] = ['RssAnon', 'RssShmem'].map((field) =>
      Number(new RegExp(`^${field}:\\s+(\\d+) kB$`, 'm').exec(status)?.[1]),
    );
    if (anonymous! >= 0 && shared! >= 0) return (anonymous! + shared!) * 1024;
  } catch {
    // not Linux, or it has ended
  }
  return pid === undefined ? process.memoryUsage.rss() : undefined;
}

/** Frees what nobody holds any more, where the process lets garbage be collected; large buffers go a moment later. */
export async function collectGarbage(): Promise<void> {
  globalThis.gc?.();
  await new Promise((resolve) => setImmediate(resolve));
  globalThis.gc?.();
}
