import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo } from 'node:net';

/** A redis-server that a test kills, stops and starts again on the same port with the same data. */
export class PlainRedis {
  private child: ChildProcess | undefined;

  private constructor(
    readonly port: number,
    private readonly folder: string,
  ) {}

  static async start(folder: string): Promise<PlainRedis> {
    const probe = createServer().listen(0, '127.0.0.1');
    await once(probe, 'listening');
    const { port } = probe.address() as AddressInfo;
    probe.close();
    await once(probe, 'close');
    const redis = new PlainRedis(port, folder);
    process.once('exit', () => redis.child?.kill('SIGKILL'));
    await redis.start();
    return redis;
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  async start(): Promise<void> {
    const options = [
      '--port',
      String(this.port),
      '--bind',
      '127.0.0.1',
      '--dir',
      this.folder,
      '--appendonly',
      'yes',
      '--appendfsync', // else what was written just before a kill may be lost while the disk is busy
      'always',
      '--save',
      '',
    ];
    this.child = spawn('redis-server', options, { stdio: 'ignore' });
    while (!(await this.answers())) await new Promise((resolve) => setTimeout(resolve, 10));
  }

  /** SIGKILL, SIGSTOP, SIGCONT, SIGTERM. */
  async signal(signal: NodeJS.Signals): Promise<void> {
    const child = this.child!;
    child.kill(signal);
    if (signal === 'SIGKILL' || signal === 'SIGTERM') await once(child, 'exit');
  }

  private answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = connect(this.port, '127.0.0.1', () => socket.write('PING\r\n'));
      const end = (answer: boolean) => {
        socket.destroy();
        resolve(answer);
      };
      socket.on('data', (bytes) => end(bytes.toString().startsWith('+PONG')));
      socket.on('error', () => end(false));
    });
  }
}
