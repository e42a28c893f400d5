import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { createLogger } from '../../base/index.js';
import { parseAddress } from '../host/address.js';
import { dataFolder } from '../host/folders.js';
import { runUntilInterrupted } from '../host/lifetime.js';
import type { HostResources } from '../../worker/index.js';
import { UsageError } from '../errors.js';
import type { Session } from '../session.js';
import { examples } from './options.js';

interface Options {
  readonly device?: readonly string[];
  readonly redis?: string;
  readonly dataDir?: string;
  readonly http: string;
  readonly grpc?: string;
  readonly host: string;
  readonly name: string;
}

/** `dtrain up`: a whole cluster on this host, until Ctrl-C. */
export function registerUp(program: Command, session: Session): void {
  program
    .command('up')
    .description('run a whole cluster on this host until Ctrl-C: coordinator, private Redis and one worker')
    .option(
      '--device <spec...>',
      'a device, or several; see "dtrain worker --help" (default: the CPU, split in two)',
    )
    .option('--redis <url>', 'use this Redis instead of a private one')
    .option('--data-dir <dir>', 'folder for jobs, artifacts and results (default: ~/.local/share/dtrain)')
    .option('--http <port>', 'port of REST; 0 for any free one', '7700')
    .option('--grpc <port>', "port for other hosts' workers (default: the one after --http)")
    .option('--host <host>', 'address to listen on; another than this one lets other hosts in', '127.0.0.1')
    .option('--name <name>', 'name of this host in the cluster', hostname())
    .addHelpText(
      'after',
      examples(
        'dtrain up',
        'dtrain up --device cpu:0,memory=2GiB,threads=2 --device cpu:1,memory=1GiB,threads=1,speed=0.5',
      ),
    )
    .action(async (options: Options) => {
      const [{ startCoordinator, startPrivateRedis }, { hostResources, parseDeviceSpec, startWorkerDaemon }] =
        await Promise.all([import('../../coordinator/index.js'), import('../../worker/index.js')]);
      const http = parseAddress('--http', options.http, options.host);
      const grpc = parseAddress('--grpc', options.grpc ?? String(nextPort(http.port)), options.host);
      const devices = (options.device ?? cpuInTwo(hostResources())).map(parseDeviceSpec);
      const dataDir = dataFolder(options.dataDir, session.env, session.cwd);
      // what every part does in detail is for who asks; the answer to a mistake is the error itself
      const logger = createLogger('up', session.env['DTRAIN_LOG'] ?? 'warn');
      await runUntilInterrupted(session, async (lifetime) => {
        const redisUrl =
          options.redis ??
          (await lifetime.start(startPrivateRedis({ dataDir: join(dataDir, 'redis'), logger }))).url;
        const coordinator = await lifetime.start(startCoordinator({ redisUrl, grpc, http, dataDir, logger }));
        const worker = await lifetime.start(
          startWorkerDaemon({
            coordinator: coordinator.grpcAddress,
            name: options.name,
            devices,
            cacheDir: join(dataDir, 'cache'),
            listenHost: options.host,
            logger,
            signal: session.interrupt,
          }),
        );
        for (const { reason } of worker.skipped) session.terminal.note(`left out: ${reason}`);
        announce(session, coordinator.httpUrl, coordinator.grpcAddress);
        return { done: worker.done };
      });
    });
}

function announce({ terminal }: Session, httpUrl: string, grpcAddress: string): void {
  const { bold, dim } = terminal.noteColors;
  terminal.note(`${bold('dtrain is up')}: REST on ${httpUrl}, other hosts' workers join at ${grpcAddress}`);
  const option = httpUrl.endsWith(':7700') ? '' : ` --coordinator ${httpUrl}`;
  terminal.note(dim(`submit a job with: dtrain submit job.yaml --follow${option}; end with Ctrl-C`));
}

function nextPort(port: number): number {
  if (port === 65535)
    throw new UsageError('--http 65535: there is no port after it for the workers; give --grpc PORT');
  return port === 0 ? 0 : port + 1;
}

/** Two CPU devices that share this host: half of the cores and a quarter of the memory each. */
function cpuInTwo({ cores, memoryBytes }: HostResources): readonly string[] {
  const threads = Math.max(1, Math.floor(cores / 2));
  const memory = Math.floor(memoryBytes / 4);
  return [0, 1].map((index) => `cpu:${index},memory=${memory},threads=${threads}`);
}
