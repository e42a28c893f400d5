import { Type, type Static } from '@sinclair/typebox';
import { join } from 'node:path';

export const jobParams = Type.Object({
  id: Type.String({ pattern: '^[\\w-]{1,64}$', examples: ['job_k3v9x1a2m4q7'] }),
});
export type JobParams = Static<typeof jobParams>;

/** Where what was said about a job is kept. The id has been checked against its pattern. */
export function logPath({ jobsDir }: { readonly jobsDir: string }, id: string): string {
  return join(jobsDir, id, 'log.jsonl');
}
