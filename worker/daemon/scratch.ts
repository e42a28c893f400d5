import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DiskError } from '../errors.js';

const PREFIX = 'dtrain-worker-';

/**
 * The daemon's own temporary folder, one inside it for each executor. An executor that is killed leaves its
 * sockets and files there, and the daemon removes them. Folders of daemons that were killed themselves are
 * removed by the next one to start.
 */
export class Scratch {
  private readonly root: string;

  /** @throws DiskError when the system's folder for temporary files cannot be used */
  constructor() {
    const folder = tmpdir();
    try {
      for (const name of readdirSync(folder)) removeOrphan(folder, name);
      this.root = mkdtempSync(join(folder, `${PREFIX}${process.pid}-`));
    } catch (cause) {
      throw new DiskError('making a folder for temporary files in', folder, cause);
    }
    process.once('exit', this.remove); // also when the process is told to end at once
  }

  /** An empty folder for the executor of device number `index`. */
  renew(index: number): string {
    const folder = join(this.root, String(index));
    rmSync(folder, { recursive: true, force: true });
    mkdirSync(folder, { mode: 0o700 });
    return folder;
  }

  readonly remove = (): void => {
    process.off('exit', this.remove);
    rmSync(this.root, { recursive: true, force: true });
  };
}

function removeOrphan(folder: string, name: string): void {
  const pid = new RegExp(`^${PREFIX}(\\d+)-`).exec(name)?.[1];
  if (pid === undefined || isAlive(Number(pid))) return;
  try {
    rmSync(join(folder, name), { recursive: true, force: true });
  } catch {
    // another user's: theirs to remove
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // there, but not ours
  }
}
