import { Option, type Command } from 'commander';
import { JOB_STATES } from '../../protocol/index.js';
import { clientFor, type Session } from '../session.js';
import { table } from '../terminal/table.js';
import { examples, withCoordinator, withJson } from './options.js';

interface Options {
  readonly coordinator?: string;
  readonly state?: string;
  readonly limit?: string;
  readonly cursor?: string;
}

/** `dtrain list`: the jobs that the coordinator remembers, newest first. */
export function registerList(program: Command, session: Session): void {
  const command = program
    .command('list')
    .description('list jobs, newest first')
    .addOption(new Option('--state <state>', 'only jobs in this state').choices(JOB_STATES))
    .option('--limit <n>', 'at most so many')
    .option('--cursor <cursor>', 'the next page, as the page before names it');
  withJson(withCoordinator(command))
    .addHelpText('after', examples('dtrain list', 'dtrain list --state running --json'))
    .action(async (options: Options) => {
      const { state, limit, cursor } = options;
      const page = await clientFor(session, options.coordinator).jobs({
        ...(state === undefined ? {} : { state }),
        ...(limit === undefined ? {} : { limit }),
        ...(cursor === undefined ? {} : { cursor }),
      });
      session.terminal.answer(page, () => {
        if (page.jobs.length === 0) return 'no jobs';
        const rows = page.jobs.map((job) => [
          job.id,
          job.state,
          job.totalSteps === null ? '-' : `${job.step}/${job.totalSteps}`,
          job.loss === null ? '-' : job.loss.toFixed(4),
          job.createdAt,
          job.name,
        ]);
        const more = page.cursor === null ? '' : `\nmore: dtrain list --cursor ${page.cursor}`;
        return table(['ID', 'STATE', 'STEP', 'LOSS', 'CREATED', 'NAME'], rows) + more;
      });
    });
}
