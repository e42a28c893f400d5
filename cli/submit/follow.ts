import type { JobLogRow, JobRecord } from '../../protocol/index.js';
import { followJob } from '../client/events.js';
import type { RestClient } from '../client/rest.js';
import { InvariantError } from '../../base/index.js';
import { EXIT, type ExitCode } from '../exit.js';
import type { Session } from '../session.js';
import { Progress, progressDetail } from '../terminal/progress.js';

export interface FollowOptions {
  /** To say which device does what once that is known; what of it was told before is not said again. */
  readonly explain?: { readonly told: readonly string[] };
}

/**
 * Shows a job's progress on stderr until it has ended.
 * @returns the job as it was last told
 */
export async function follow(
  session: Session,
  client: RestClient,
  id: string,
  options: FollowOptions,
): Promise<JobRecord> {
  const { terminal, clock, interrupt } = session;
  const { dim, bold } = terminal.noteColors;
  const progress = new Progress(terminal, clock, 'training');
  let last: JobRecord | undefined;
  let explained = options.explain === undefined;
  let away = false;
  let waits = '';
  let milestone = '';
  const onGap = () => {
    if (!away) progress.note(dim(`the coordinator at ${client.url} does not answer; trying again`));
    away = true;
  };
  try {
    for await (const event of followJob(client, id, { clock, interrupt, onGap })) {
      away = false;
      if (event.kind === 'log' && event.row.level !== 'debug') {
        progress.note(dim(saidBy(event.row)));
      }
      if (event.kind === 'metric' && typeof event.row.validationLoss === 'number') {
        // shown with the job's next state, which may be the one that says who trains
        milestone = validationLine(event.row.step, event.row.validationLoss, event.row.validationAccuracy);
      }
      if (event.kind !== 'job') continue;
      const { job } = event;
      if (job.state !== last?.state && job.state !== 'running') progress.note(dim(`${job.id} ${job.state}`));
      const why = job.state === 'queued' ? job.explanation.join('; ') : '';
      if (why !== '' && why !== waits) progress.note(dim(`${job.id} ${why}`));
      waits = why;
      if (!explained && job.state !== 'queued' && job.explanation.length > 0) {
        explained = true;
        if (job.explanation.join('\n') !== options.explain?.told.join('\n')) {
          for (const line of job.explanation) progress.note(`${bold('plan')} ${line}`);
        }
      }
      if (milestone !== '') progress.milestone(milestone);
      milestone = '';
      last = job;
      progress.update(job.step, job.totalSteps, progressDetail(job));
    }
  } finally {
    progress.stop();
  }
  if (!last) throw new InvariantError(`the events of ${id} ended without the job`);
  return last;
}

function validationLine(step: number, loss: number, accuracy: number | undefined): string {
  const rate = accuracy === undefined ? '' : `, accuracy ${(100 * accuracy).toFixed(2)} %`;
  return `step ${step}: validation loss ${loss.toFixed(4)}${rate}`;
}

/** How a process that waited for the job ends. */
export function exitCodeOfJob(job: JobRecord): ExitCode {
  if (job.state === 'succeeded') return EXIT.done;
  return job.state === 'failed' && job.error?.family === 'user' ? EXIT.badInput : EXIT.failed;
}

/** A row of a job's log with who said it, once. */
export function saidBy({ device, message }: JobLogRow): string {
  const who = `${device ?? 'coordinator'}: `;
  return message.startsWith(who) ? message : who + message;
}
