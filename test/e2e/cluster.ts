import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { command, type Answered } from './in-process.js';
import { descendants, dtrain, Dtrain, type Ended, type ProcessInfo } from './process.js';

/** Two devices, small enough for any machine that runs the tests. */
export const TWO_DEVICES = ['cpu:0,memory=768MiB,threads=1', 'cpu:1,memory=768MiB,threads=1'];

/** A `dtrain up` under test, with a data folder, a folder for temporary files and ports of its own. */
export class UpCluster {
  private constructor(
    readonly process: Dtrain,
    readonly url: string,
    readonly folder: string,
    /** Where its processes put temporary files and sockets. */
    readonly temporary: string,
  ) {}

  static async start(
    devices: readonly string[] = TWO_DEVICES,
    args: readonly string[] = [],
  ): Promise<UpCluster> {
    // short: a socket's path has at most 107 characters
    const folder = mkdtempSync(join(tmpdir(), 'dtrain-e2e-'));
    const temporary = mkdtempSync(join(tmpdir(), 'dtrain-tmp-'));
    const process = new Dtrain(
      [
        'up',
        '--http',
        '0',
        '--name',
        'host',
        '--data-dir',
        folder,
        ...devices.flatMap((spec) => ['--device', spec]),
        ...args,
      ],
      { seconds: 240, env: { TMPDIR: temporary } },
    );
    const found = await process.said(/REST on (\S+?),/);
    if (!found) throw new Error(`dtrain up did not come up: ${process.stderr}`);
    return new UpCluster(process, found[1]!, folder, temporary);
  }

  /** Runs a client command against it. */
  dtrain(args: readonly string[], cwd?: string): Promise<Ended> {
    return dtrain(args, this.client(cwd));
  }

  /** Likewise in this process, which is sooner done. */
  ask(args: readonly string[], cwd?: string): Promise<Answered> {
    return command(args, this.client(cwd));
  }

  /** A client command that goes on for a while. */
  start(args: readonly string[], cwd?: string): Dtrain {
    return new Dtrain(args, this.client(cwd));
  }

  private client(cwd: string | undefined): { seconds: number; env: NodeJS.ProcessEnv; cwd?: string } {
    return { seconds: 120, env: { DTRAIN_COORDINATOR: this.url }, ...(cwd === undefined ? {} : { cwd }) };
  }

  /** The executor process of each device, in the order in which they were started. */
  executors(): readonly ProcessInfo[] {
    return descendants(this.process.pid).filter(({ command }) => command.includes('executor'));
  }

  /** Ends it as `systemctl stop` does. */
  async stop(): Promise<Ended> {
    this.process.signal('SIGTERM');
    const ended = await this.process.ended;
    this.remove();
    return ended;
  }

  /** What it left in the folder for temporary files. */
  leftovers(): readonly string[] {
    return readdirSync(this.temporary, { recursive: true }).map(String);
  }

  remove(): void {
    for (const folder of [this.folder, this.temporary]) rmSync(folder, { recursive: true, force: true });
  }
}
