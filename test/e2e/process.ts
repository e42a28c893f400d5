import { spawn, type ChildProcess } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const MAIN = fileURLToPath(new URL('../../cli/main.js', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  /** A command to run it by, which becomes it: `ip netns exec NAME`. */
  readonly by?: readonly string[];
  /** Killed after so many seconds; a test that needs it has failed. */
  readonly seconds?: number;
}

/** A `dtrain` process under test, in a process group of its own as a terminal would give it. */
export class Dtrain {
  stdout = '';
  stderr = '';
  readonly ended: Promise<Ended>;
  private readonly child: ChildProcess;
  private readonly waiting = new Set<() => void>();

  constructor(args: readonly string[], { cwd, env = {}, by = [], seconds = 60 }: RunOptions = {}) {
    const { DTRAIN_COORDINATOR: _none, NO_COLOR: _colour, ...rest } = process.env;
    const [program, ...words] = [...by, process.execPath, MAIN, ...args];
    this.child = spawn(program!, words, {
      ...(cwd === undefined ? {} : { cwd }),
      env: { ...rest, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    this.child.stdout!.setEncoding('utf8').on('data', (text: string) => this.heard('stdout', text));
    this.child.stderr!.setEncoding('utf8').on('data', (text: string) => this.heard('stderr', text));
    const timer = setTimeout(() => this.signalGroup('SIGKILL'), seconds * 1000);
    const watchdog = watch(this.pid);
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code, signal) => {
        clearTimeout(timer);
        watchdog.kill('SIGKILL');
        for (const check of this.waiting) check();
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
      });
    });
  }

  get pid(): number {
    return this.child.pid!;
  }

  /** Waits until stderr has said it; undefined when the process ended without. */
  async said(pattern: RegExp): Promise<RegExpExecArray | undefined> {
    for (;;) {
      const found = pattern.exec(this.stderr);
      if (found) return found;
      if (this.child.exitCode !== null || this.child.signalCode !== null) return undefined;
      await new Promise<void>((resolve) => {
        const check = (): void => {
          this.waiting.delete(check);
          resolve();
        };
        this.waiting.add(check);
      });
    }
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name);
  }

  /** As Ctrl-C in a terminal does: to every process of the group. */
  signalGroup(name: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, name);
    } catch {
      return; // all gone
    }
  }

  private heard(stream: 'stdout' | 'stderr', text: string): void {
    this[stream] += text;
    for (const check of this.waiting) check();
  }
}

/** Ends a process group when this process is gone, even by SIGKILL: a shell reads from a pipe that the kernel closes. */
function watch(group: number): ChildProcess {
  const script = 'while read -r _; do :; done; kill -KILL "-$0"';
  return spawn('/bin/sh', ['-c', script, String(group)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
}

/** Runs a command to its end. */
export function dtrain(args: readonly string[], options?: RunOptions): Promise<Ended> {
  return new Dtrain(args, options).ended;
}

export interface ProcessInfo {
  readonly pid: number;
  readonly parent: number;
  readonly state: string;
  readonly command: string;
}

/** Every process on this machine (Linux: from /proc). */
export function processes(): readonly ProcessInfo[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        // the name of the program, in parentheses, may hold anything: what follows the last one is regular
        const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        const command = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
        return [{ pid: Number(name), parent: Number(parent), state: state!, command }];
      } catch {
        return []; // it ended meanwhile
      }
    });
}

/** All descendants of a process. */
export function descendants(of: number): readonly ProcessInfo[] {
  const all = processes();
  const children = (pid: number): ProcessInfo[] =>
    all.filter((info) => info.parent === pid).flatMap((info) => [info, ...children(info.pid)]);
  return children(of);
}

export function isAlive(pid: number): boolean {
  return processes().some((info) => info.pid === pid && info.state !== 'Z');
}
