import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync, chmodSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeviceLockError, DeviceTakenError } from '../errors.js';

/** Where all workers of a host look, whoever started them and with whatever TMPDIR. */
export const LOCK_FOLDER = join(process.platform === 'win32' ? tmpdir() : '/tmp', 'dtrain-devices');

/** Between two attempts another process took it and let go of it. */
const MOST_ATTEMPTS = 100;

/** Who has a piece of hardware. */
interface Holder {
  readonly pid: number;
  /** When that process started, in the kernel's ticks: a process of the same number later is another. */
  readonly startedAt: string;
  /** For people. */
  readonly who: string;
}

/** A piece of hardware that this process has to itself. Not a security measure: workers are polite to each other. */
export class DeviceLock {
  private constructor(
    private readonly path: string,
    private readonly text: string,
  ) {}

  /**
   * @param exclusive names the hardware
   * @param who the worker, for people
   * @throws DeviceTakenError where a process that lives has it, DeviceLockError where that cannot be told
   */
  static take(exclusive: string, device: string, who: string, folder = LOCK_FOLDER): DeviceLock {
    const path = join(folder, fileOf(exclusive));
    const mine: Holder = { pid: process.pid, startedAt: startOf(process.pid) ?? '', who };
    const text = JSON.stringify(mine);
    const draft = `${path}.${process.pid}`;
    try {
      makeFolder(folder);
      rmSync(draft, { force: true }); // of a process that had our number
      // linked, not written in place: whoever finds the file finds it whole; never through what another put there
      writeFileSync(draft, text, { flag: 'wx' });
      try {
        for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
          if (linked(draft, path)) return new DeviceLock(path, text);
          const held = read(path);
          if (held === undefined) continue; // let go of in this moment
          const holder = parse(held);
          if (holder && lives(holder))
            throw new DeviceTakenError(device, `${holder.who} (process ${holder.pid})`);
          remove(path, held);
        }
      } finally {
        rmSync(draft, { force: true });
      }
    } catch (error) {
      if (error instanceof DeviceTakenError) throw error;
      throw new DeviceLockError(device, path, error);
    }
    throw new DeviceTakenError(device, 'others who take it and let go of it all the time');
  }

  /** Who has it, if anybody does. */
  static holder(exclusive: string, folder = LOCK_FOLDER): string | undefined {
    let held: string | undefined;
    try {
      held = read(join(folder, fileOf(exclusive)));
    } catch {
      // whose it is cannot be told; who wants it will be
    }
    const holder = held === undefined ? undefined : parse(held);
    return holder && lives(holder) ? `${holder.who} (process ${holder.pid})` : undefined;
  }

  /** Lets go of it. Idempotent. */
  release(): void {
    try {
      remove(this.path, this.text);
    } catch {
      // it names this process, and does not count once that is gone
    }
  }
}

function fileOf(exclusive: string): string {
  return `${exclusive.replace(/[^\w.-]+/g, '_')}.json`;
}

function makeFolder(folder: string): void {
  mkdirSync(folder, { recursive: true });
  try {
    chmodSync(folder, 0o1777); // other users' workers take their turn here, too
  } catch {
    // it is another user's: they have done so
  }
}

/** Whether `path` is the draft's file now; false where there is one already. */
function linked(draft: string, path: string): boolean {
  try {
    linkSync(draft, path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Removes a lock with this text; one that another process made meanwhile goes back.
 * @throws what the system says where it may not be removed: files of other users stay in such a folder
 */
function remove(path: string, text: string): void {
  const aside = `${path}.${process.pid}.old`;
  try {
    renameSync(path, aside);
    if (read(aside) !== text) linked(aside, path);
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error; // gone already: another was faster
  } finally {
    rmSync(aside, { force: true });
  }
}

/** @returns undefined where there is no such file */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

function parse(text: string): Holder | undefined {
  try {
    const { pid, startedAt, who } = JSON.parse(text) as Partial<Holder>;
    if (!Number.isInteger(pid) || typeof startedAt !== 'string' || typeof who !== 'string') return undefined;
    return { pid: pid!, startedAt, who };
  } catch {
    return undefined;
  }
}

function lives({ pid, startedAt }: Holder): boolean {
  const now = startOf(pid);
  if (now !== undefined) return startedAt === '' || now === startedAt;
  if (process.platform === 'linux') return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return codeOf(error) === 'EPERM'; // another user's
  }
}

/** Field 22 of proc_pid_stat(5); undefined where there is no such process, or the system does not tell. */
function startOf(pid: number): string | undefined {
  let stat: string | undefined;
  try {
    stat = read(`/proc/${pid}/stat`);
  } catch {
    // it ends while it is read (ESRCH)
  }
  // the second field is the process's name in parentheses, which may hold anything
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
