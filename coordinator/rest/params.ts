import { Type, type Static } from '@sinclair/typebox';
import { join } from 'node:path';

export const jobParams = Type.Object({
  id: Type.String({ examples: ['job_k3v9x1a2m4q7'] }),
});
export type JobParams = Static<typeof jobParams>;

/** Where what was said about a job is kept. `id` is one that the store knows, not any text of a request. */
export function logPath({ jobsDir }: { readonly jobsDir: string }, id: string): string {
  return join(jobsDir, id, 'log.jsonl');
}
