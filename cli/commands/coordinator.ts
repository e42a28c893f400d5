import type { Command } from 'commander';
import { createLogger } from '../../base/index.js';
import { parseAddress } from '../host/address.js';
import { dataFolder } from '../host/folders.js';
import { runUntilInterrupted } from '../host/lifetime.js';
import type { Session } from '../session.js';
import { examples } from './options.js';

interface Options {
  readonly redis: string;
  readonly grpc: string;
  readonly http: string;
  readonly dataDir?: string;
}

/** `dtrain coordinator`: the coordinator alone. */
export function registerCoordinator(program: Command, session: Session): void {
  program
    .command('coordinator')
    .description('run the coordinator alone')
    .requiredOption('--redis <url>', 'where it keeps jobs: redis://HOST:6379')
    .option('--grpc <host:port>', 'where workers join', '127.0.0.1:7701')
    .option('--http <host:port>', 'where REST is', '127.0.0.1:7700')
    .option('--data-dir <dir>', 'folder for artifacts and results (default: ~/.local/share/dtrain)')
    .addHelpText(
      'after',
      `${examples('dtrain coordinator --redis redis://127.0.0.1:6379 --grpc 0.0.0.0:7701 --http 0.0.0.0:7700')}
There is no authentication: listen only where everybody may submit jobs.`,
    )
    .action(async (options: Options) => {
      const grpc = parseAddress('--grpc', options.grpc);
      const http = parseAddress('--http', options.http);
      const dataDir = dataFolder(options.dataDir, session.env, session.cwd);
      const { startCoordinator } = await import('../../coordinator/index.js');
      await runUntilInterrupted(session, async (lifetime) => {
        const logger = createLogger('coordinator');
        const coordinator = await lifetime.start(
          startCoordinator({ redisUrl: options.redis, grpc, http, dataDir, logger }),
        );
        session.terminal.note(`REST on ${coordinator.httpUrl}, workers join at ${coordinator.grpcAddress}`);
        return {};
      });
    });
}
