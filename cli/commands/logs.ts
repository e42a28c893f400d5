import type { Command } from 'commander';
import type { JobLogRow } from '../../protocol/index.js';
import { followJob } from '../client/events.js';
import { saidBy } from '../submit/follow.js';
import { clientFor, type Session } from '../session.js';
import { examples, withCoordinator, withJson } from './options.js';

interface Options {
  readonly coordinator?: string;
  readonly follow?: boolean;
}

/** `dtrain logs ID`: what the devices and the coordinator said about a job. */
export function registerLogs(program: Command, session: Session): void {
  const command = program
    .command('logs')
    .description('show what the devices and the coordinator said about a job')
    .argument('<id>', 'the job')
    .option('-f, --follow', 'go on until the job has ended');
  withJson(withCoordinator(command))
    .addHelpText('after', examples('dtrain logs job_k3v9x1a2m4q7', 'dtrain logs job_k3v9x1a2m4q7 --follow'))
    .action(async (id: string, options: Options) => {
      const { terminal, clock, interrupt } = session;
      const client = clientFor(session, options.coordinator);
      if (!options.follow) {
        const { rows } = await client.logs(id);
        terminal.answer({ rows }, () => rows.map(lineOf).join('\n'));
        return;
      }
      const rows: JobLogRow[] = [];
      const onGap = () => terminal.note(`the coordinator at ${client.url} does not answer; trying again`);
      for await (const event of followJob(client, id, { clock, interrupt, onGap })) {
        if (event.kind !== 'log') continue;
        if (terminal.json) rows.push(event.row);
        else terminal.print(lineOf(event.row));
      }
      terminal.answer({ rows }, '');
    });
}

function lineOf(row: JobLogRow): string {
  return `${row.at} ${row.level.padEnd(5)} ${saidBy(row)}`;
}
