import { PeerError } from './errors.js';
import type { Seconds } from './units.js';

/**
 * Waits for `promise`, at most `seconds`.
 * @param what names who is awaited and for what; it becomes the message
 * @throws PeerError `deadline` when the time is up; the promise itself goes on
 */
export async function withDeadline<T>(promise: Promise<T>, seconds: Seconds, what: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const expiry = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new PeerError('deadline', `${what}: no answer within ${seconds} s`, { retryable: true }));
    }, seconds * 1000);
  });
  try {
    return await Promise.race([promise, expiry]);
  } finally {
    clearTimeout(timer);
  }
}
