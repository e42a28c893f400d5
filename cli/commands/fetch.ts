import { resolve } from 'node:path';
import type { Command } from 'commander';
import { clientFor, type Session } from '../session.js';
import { downloadOutput } from '../submit/download.js';
import { examples, withCoordinator, withJson } from './options.js';

/** `dtrain fetch ID DIR`: a job's results, from wherever the coordinator is. */
export function registerFetch(program: Command, session: Session): void {
  const command = program
    .command('fetch')
    .description('download the results of a job')
    .argument('<id>', 'the job')
    .argument('<directory>', 'where to put them');
  withJson(withCoordinator(command))
    .addHelpText('after', examples('dtrain fetch job_k3v9x1a2m4q7 out/digits'))
    .action(async (id: string, directory: string, options: { coordinator?: string }) => {
      const target = resolve(session.cwd, directory);
      const files = await downloadOutput(clientFor(session, options.coordinator), id, target);
      session.terminal.answer({ job: id, directory: target, files }, () => files.join('\n'));
    });
}
