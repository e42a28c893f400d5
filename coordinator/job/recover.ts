import type { JobBoard } from './board.js';
import type { JobStore } from './store.js';

/** States of a job that a coordinator has in its hands. */
const IN_HAND = ['planning', 'starting', 'running'] as const;

/** Fails the jobs that were in the hands of a coordinator that died. Resolves when that is written. */
export async function failOrphans(store: JobStore, board: JobBoard, epochMs: number): Promise<void> {
  for (const state of IN_HAND) {
    // each failure takes a job out of the list, so its first page is always the next
    for (;;) {
      const { jobs } = await store.list({ state, limit: 100 });
      if (jobs.length === 0) break;
      for (const { id } of jobs) {
        const ledger = await board.open(id);
        ledger?.record({
          type: 'failed',
          at: epochMs,
          error: {
            family: 'peer',
            code: 'coordinator_restarted',
            message: 'the coordinator ended while the job ran; submit the job again',
            device: null,
          },
        });
      }
      await board.settled();
    }
  }
}
