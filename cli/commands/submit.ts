import { randomUUID } from 'node:crypto';
import type { Command } from 'commander';
import { CoordinatorUnreachableError, InterruptedError, ProblemError } from '../errors.js';
import { clientFor, type Session } from '../session.js';
import { prepareJob, uploadMissing } from '../submit/artifacts.js';
import { claimOutput } from '../submit/claim.js';
import { downloadOutput } from '../submit/download.js';
import { exitCodeOfJob, follow } from '../submit/follow.js';
import { readJobFile, type JobFile } from '../submit/job-file.js';
import { inLocalTerms } from '../submit/local-terms.js';
import { modelBytes } from '../submit/model.js';
import { parseOverride } from '../submit/overrides.js';
import { planText } from '../submit/plan-text.js';
import { asksForMore, isTerminal, type JobRecord, type JobSpec } from '../../protocol/index.js';
import type { RestClient } from '../client/rest.js';
import { examples, OVERRIDES, repeatable, withCoordinator, withJson } from './options.js';

interface Options {
  readonly coordinator?: string;
  readonly follow?: boolean;
  readonly explain?: boolean;
  readonly set: readonly string[];
  readonly key?: string;
}

/** `dtrain submit JOB.yaml`. */
export function registerSubmit(program: Command, session: Session): void {
  const command = program
    .command('submit')
    .description('submit a job; prints its id')
    .argument('<job-file>', 'YAML or JSON; its paths are relative to it')
    .option('-f, --follow', 'show progress until the job ends, and exit with its result')
    .option('--explain', 'show the plan first: which device does what and why')
    .addOption(repeatable('--set <key=value>', OVERRIDES))
    .option(
      '--key <key>',
      'idempotency key: the same submission under the same key is one job (default: a new key)',
    );
  withJson(withCoordinator(command))
    .addHelpText(
      'after',
      examples(
        'dtrain submit job.yaml --follow --explain',
        'dtrain submit job.yaml --set optimizer.lr=0.01 --set "data.train.rows=[0, 9000]"',
        'dtrain submit job.yaml --json | jq -r .id',
      ),
    )
    .action(async (file: string, options: Options) => {
      const job = await readJobFile(file, session.cwd, options.set.map(parseOverride));
      const client = clientFor(session, options.coordinator);
      const { submitted, explained } = await submit(session, client, job, options);
      const { terminal } = session;
      if (!options.follow) {
        terminal.answer(submitted, submitted.id);
        // the job of an earlier submission under this key
        if (isTerminal(submitted.state)) session.exitCode = exitCodeOfJob(submitted);
        return;
      }
      terminal.print(submitted.id);
      const told = await watch(session, client, submitted.id, explained);
      const ended = told.error
        ? {
            ...told,
            error: { ...told.error, message: inLocalTerms(told.error.message, job, told.error.code) },
          }
        : told;
      const directory = await results(client, ended, job);
      terminal.answer({ ...ended, output: { ...ended.output, directory } }, () => '');
      terminal.note(conclusion(session, ended, directory));
      session.exitCode = exitCodeOfJob(ended);
    });
}

/** Everything from the job file to the job's id. Whatever fails, no claim is left in the output folder. */
async function submit(
  session: Session,
  client: RestClient,
  job: JobFile,
  { key = randomUUID(), explain = false }: Options,
): Promise<{ readonly submitted: JobRecord; readonly explained: readonly string[] | undefined }> {
  const { terminal, clock, cwd, interrupt } = session;
  const model = await modelBytes(job, cwd);
  const { spec, artifacts } = await prepareJob(job, model, cwd);
  await uploadMissing(client, artifacts, terminal, clock);
  const explained = explain ? await inTerms(job, () => explainPlan(session, client, spec)) : undefined;
  const claim = spec.output === undefined ? undefined : await claimOutput(job.folder, spec.output);
  try {
    if (interrupt.aborted) throw new InterruptedError();
    const submission = { job: spec, ...(claim ? { outputClaim: claim.proof } : {}) };
    const { job: submitted, created } = await inTerms(job, () => client.submit(submission, key));
    if (!created) await claim?.withdraw(); // the job made the first time had its own
    return { submitted, explained };
  } catch (error) {
    await claim?.withdraw();
    throw error;
  }
}

/** What the coordinator finds wrong, in the submitter's terms. */
async function inTerms<T>(job: JobFile, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    if (!(error instanceof ProblemError)) throw error;
    throw error.withMessage(inLocalTerms(error.message, job, error.code));
  }
}

/**
 * Shows the plan on stderr, where it is no part of the answer.
 * @returns its sentences; none where the job has to wait for devices
 * @throws ProblemError where the job could never run on those that have joined
 */
async function explainPlan(
  { terminal }: Session,
  client: RestClient,
  job: JobSpec,
): Promise<readonly string[]> {
  try {
    const plan = await client.plan({ job });
    terminal.note(planText(plan));
    return plan.explanation;
  } catch (error) {
    if (!(error instanceof ProblemError && asksForMore(error))) throw error;
    terminal.note(`there is no plan yet: ${error.message}`);
    return [];
  }
}

/** Follows, and when interrupted says that the job itself goes on. */
async function watch(
  session: Session,
  client: RestClient,
  id: string,
  explained: readonly string[] | undefined,
): Promise<JobRecord> {
  try {
    return await follow(session, client, id, explained ? { explain: { told: explained } } : {});
  } catch (error) {
    if (error instanceof InterruptedError) {
      throw new InterruptedError(
        `no longer following; ${id} goes on. Follow it with: dtrain logs ${id} --follow; end it with: dtrain cancel ${id}`,
      );
    }
    if (error instanceof CoordinatorUnreachableError) {
      session.terminal.note(`${id} was submitted; ask for it with: dtrain status ${id}`);
    }
    throw error;
  }
}

/** Where the results are on this host: the coordinator put them there, or they are fetched now. */
async function results(client: RestClient, ended: JobRecord, job: JobFile): Promise<string> {
  if (ended.state !== 'succeeded' || ended.output.delivered || job.spec.output === undefined) {
    return ended.output.directory;
  }
  const claim = await claimOutput(job.folder, job.spec.output);
  const { directory } = claim.proof;
  await claim.withdraw();
  await downloadOutput(client, ended.id, directory);
  return directory;
}

function conclusion({ terminal }: Session, ended: JobRecord, directory: string): string {
  const { green, red } = terminal.noteColors;
  if (ended.state === 'succeeded') {
    const validation =
      ended.validationLoss === null ? '' : `, validation loss ${ended.validationLoss.toFixed(4)}`;
    return `${green('succeeded')} ${ended.id}: loss ${ended.loss?.toFixed(4) ?? '?'}${validation}; results in ${directory}`;
  }
  if (ended.error)
    return `${red('failed')} ${ended.id} ${terminal.noteColors.dim(`[${ended.error.code}]`)} ${ended.error.message}`;
  return `${red(ended.state)} ${ended.id}`;
}
