import type { Command } from 'commander';
import { clientFor, type Session } from '../session.js';
import { examples, withCoordinator, withJson } from './options.js';

/** `dtrain cancel ID`: asks the coordinator to end a job. */
export function registerCancel(program: Command, session: Session): void {
  const command = program.command('cancel').description('end a job').argument('<id>', 'the job');
  withJson(withCoordinator(command))
    .addHelpText('after', examples('dtrain cancel job_k3v9x1a2m4q7'))
    .action(async (id: string, options: { coordinator?: string }) => {
      const job = await clientFor(session, options.coordinator).cancel(id);
      session.terminal.answer(job, () => `${job.id} ${job.state}`);
    });
}
