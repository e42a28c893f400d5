import { spawn, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { PeerError } from '../../base/index.js';

const START_SECONDS = 60;

/** A `dtrain up` of our own: a whole cluster on this host, in its own data folder and on free ports. */
export class Cluster {
  private constructor(
    private readonly child: ChildProcess,
    private readonly ended: Promise<number | null>,
    /** Where its REST is. */
    readonly url: string,
  ) {}

  /** @throws PeerError when it does not come up; what it said is in the message */
  static async start(root: string, dataDir: string, devices: readonly string[]): Promise<Cluster> {
    const args = ['up', '--http', '0', '--data-dir', dataDir, '--name', 'demo'];
    for (const device of devices) args.push('--device', device);
    const child = spawn(process.execPath, [join(root, 'bin/dtrain'), ...args], {
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
    let said = '';
    const url = await new Promise<string>((resolve, reject) => {
      const fail = (): void => {
        child.kill('SIGTERM');
        reject(new PeerError('cluster_not_started', `dtrain up did not come up:\n${said}`));
      };
      const timer = setTimeout(fail, START_SECONDS * 1000);
      child.on('close', fail);
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        const found = /REST on (\S+?),/.exec(said);
        if (!found) return;
        clearTimeout(timer);
        child.off('close', fail);
        resolve(found[1]!);
      });
    });
    child.stderr.pipe(process.stderr); // from now on what it says is for the reader
    return new Cluster(child, ended, url);
  }

  async stop(): Promise<void> {
    this.child.kill('SIGTERM');
    await this.ended;
  }
}
