import type { FromWorker } from '../../protocol/index.js';
import type { Phase, RunId } from '../messages.js';
import type { Supervisor } from './supervisor.js';
import type { Uploads } from './uploads.js';

/** A device with its executor, the files it hands over, and the run it has, as the coordinator knows it. */
export interface Post {
  readonly supervisor: Supervisor;
  readonly uploads: Uploads;
  run: { readonly id: RunId; step: number; phase: Phase; failed: boolean } | undefined;
}

/** Those of a host, by device. */
export type Posts = ReadonlyMap<string, Post>;

/** Tells the coordinator something; dropped while there is no session. */
export type Tell = (message: FromWorker['message']) => void;

export function sameRun(a: RunId, b: RunId): boolean {
  return a.jobId === b.jobId && a.epoch === b.epoch && a.rank === b.rank;
}
