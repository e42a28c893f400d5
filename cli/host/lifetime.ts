import type { Session } from '../session.js';
import { EXIT } from '../exit.js';

/** Something that runs until it is closed. */
export interface Closable {
  close(): Promise<void>;
}

/**
 * What a daemon has started, ended in reverse order: each part may use those started before it.
 * All are closed even when one fails to; the first failure is thrown at the end.
 */
export class Lifetime {
  private readonly parts: Closable[] = [];

  /** Starts a part, and remembers it. */
  async start<T extends Closable>(starting: Promise<T>): Promise<T> {
    const part = await starting;
    this.parts.push(part);
    return part;
  }

  async close(): Promise<void> {
    let failure: unknown;
    for (const part of this.parts.splice(0).reverse()) {
      try {
        await part.close();
      } catch (error) {
        failure ??= error;
      }
    }
    if (failure !== undefined) throw failure as Error;
  }
}

/**
 * Starts a daemon's parts, keeps them until Ctrl-C or SIGTERM or until `done` settles, then ends them all.
 * SIGTERM is the orderly way to end a service and exits with 0; Ctrl-C exits with 130.
 * @throws what `start` or `done` threw; nothing is left running then
 */
export async function runUntilInterrupted(
  session: Session,
  start: (lifetime: Lifetime) => Promise<{ readonly done?: Promise<void> }>,
): Promise<void> {
  const lifetime = new Lifetime();
  const { interrupt, terminal } = session;
  const interrupted = new Promise<void>((resolve) => {
    const end = (): void => {
      const force = interrupt.reason === 'SIGINT' ? '; Ctrl-C once more to force it' : '';
      terminal.note(`${String(interrupt.reason)}: ending${force}`);
      session.exitCode = interrupt.reason === 'SIGINT' ? EXIT.interrupted : EXIT.done;
      resolve();
    };
    if (interrupt.aborted) end();
    else interrupt.addEventListener('abort', end, { once: true });
  });
  const alive = setInterval(() => undefined, 60_000);
  try {
    const { done } = await start(lifetime);
    await Promise.race([interrupted, ...(done ? [done] : [])]);
  } catch (error) {
    // a part that was told to stop while it started says so by failing
    if (!interrupt.aborted) throw error;
  } finally {
    await lifetime.close();
    clearInterval(alive);
  }
}
