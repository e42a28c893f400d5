import type { CollectiveError } from './errors.js';

/** What fails as a whole: a Communicator, an Outbox, an Inbox. */
export interface Failing {
  readonly failure: Promise<CollectiveError>;
  abort(reason: string | CollectiveError): void;
}

/**
 * Lets the rings and streams of a rank fail together: when one fails, the others are given up, here and at their
 * peers, with the first one's reason and whom it blames. A rank that dies is so named by all, however far away.
 * @returns the first failure; stays pending while all work and after an orderly close
 */
export async function failTogether(parts: readonly Failing[]): Promise<CollectiveError> {
  const first = await Promise.race(parts.map((part) => part.failure));
  for (const part of parts) part.abort(first);
  return first;
}
