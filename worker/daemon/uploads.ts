import { rm } from 'node:fs/promises';
import { reportOf, type ErrorReport } from '../../base/index.js';
import { hashOfFile } from './artifact-cache.js';
import type { Session } from './session.js';

/**
 * Files of one device's ranks on their way to the coordinator: one after the other, so that what is told of them
 * is told in order.
 */
export class Uploads {
  private last: Promise<void> = Promise.resolve();

  /** @param session the session to use when a file's turn comes; undefined when there is none, nobody waits then */
  constructor(private readonly session: () => Session | undefined) {}

  /**
   * Hands over files, one after the other, then calls `done` with their hashes, or `failed`; both not at all when there
   * is no session. The files are removed either way.
   * @param paths null: no file, its hash is ''
   */
  put(
    paths: readonly (string | null)[],
    done: (sha256: readonly string[]) => void,
    failed: (error: ErrorReport) => void,
  ): void {
    this.last = this.last.then(async () => {
      try {
        const session = this.session();
        if (!session) return;
        const hashes: string[] = [];
        for (const path of paths) {
          const sha256 = path === null ? '' : await hashOfFile(path);
          if (path !== null) await session.putArtifact(sha256, path);
          hashes.push(sha256);
        }
        done(hashes);
      } catch (error) {
        failed(reportOf(error));
      } finally {
        for (const path of paths) {
          if (path !== null) await rm(path, { force: true }).catch(() => undefined); // its folder goes with the daemon
        }
      }
    });
  }

  /** Resolves when all that was put before is over. Never rejects. */
  settled(): Promise<void> {
    return this.last;
  }
}
