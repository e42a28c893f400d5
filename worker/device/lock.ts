import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync, chmodSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeviceTakenError } from '../errors.js';

/** Where all workers of a host look, whoever started them and with whatever TMPDIR. */
export const LOCK_FOLDER = join(process.platform === 'win32' ? tmpdir() : '/tmp', 'dtrain-devices');

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
   * @throws DeviceTakenError where a process that lives has it
   */
  static take(exclusive: string, device: string, who: string, folder = LOCK_FOLDER): DeviceLock {
    mkdirSync(folder, { recursive: true });
    try {
      chmodSync(folder, 0o1777); // other users' workers take their turn here, too
    } catch {
      // it is another user's: they have done so
    }
    const path = join(folder, `${exclusive.replace(/[^\w.-]+/g, '_')}.json`);
    const mine: Holder = { pid: process.pid, startedAt: startOf(process.pid) ?? '', who };
    const text = JSON.stringify(mine);
    const draft = `${path}.${process.pid}`;
    // linked, not written in place: whoever finds the file finds it whole
    writeFileSync(draft, text);
    try {
      for (;;) {
        try {
          linkSync(draft, path);
          return new DeviceLock(path, text);
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
        }
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
  }

  /** Who has it, if anybody does. */
  static holder(exclusive: string, folder = LOCK_FOLDER): string | undefined {
    const held = read(join(folder, `${exclusive.replace(/[^\w.-]+/g, '_')}.json`));
    const holder = held === undefined ? undefined : parse(held);
    return holder && lives(holder) ? `${holder.who} (process ${holder.pid})` : undefined;
  }

  /** Lets go of it. Idempotent. */
  release(): void {
    remove(this.path, this.text);
  }
}

/** Removes a lock with this text; one that another process made meanwhile goes back. */
function remove(path: string, text: string): void {
  const aside = `${path}.${process.pid}.old`;
  try {
    renameSync(path, aside);
    if (read(aside) !== text) linkSync(aside, path);
  } catch {
    // gone already, or another was faster
  }
  rmSync(aside, { force: true });
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return undefined;
  }
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
    return (error as NodeJS.ErrnoException).code === 'EPERM'; // another user's
  }
}

/** Field 22 of proc_pid_stat(5); undefined where there is no such process, or the system does not tell. */
function startOf(pid: number): string | undefined {
  const stat = read(`/proc/${pid}/stat`);
  // the second field is the process's name in parentheses, which may hold anything
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}
