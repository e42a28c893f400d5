import { Option, type Command } from 'commander';
import { resolve } from 'node:path';
import { DtrainError, fromReport, reportOf } from '../../base/index.js';
import type { Comparison, DebugRun, JobStep, Phase } from '../../worker/debug/index.js';
import { inspectorAddress, InspectorObserver } from '../debug/inspector.js';
import { Printer } from '../debug/printer.js';
import { Prompt } from '../debug/prompt.js';
import { comparisonText, faultText, summaryText } from '../debug/text.js';
import { InterruptedError, UsageError } from '../errors.js';
import { EXIT } from '../exit.js';
import type { Session } from '../session.js';
import { readJobFile, type JobFile } from '../submit/job-file.js';
import { inLocalTerms } from '../submit/local-terms.js';
import { modelBytes } from '../submit/model.js';
import { parseOverride } from '../submit/overrides.js';
import { Progress } from '../terminal/progress.js';
import { examples, OVERRIDES, repeatable, withJson } from './options.js';

interface Options {
  readonly break: readonly string[];
  readonly breakOnNan?: boolean;
  readonly print: readonly string[];
  readonly phase: Phase;
  readonly rows?: string;
  readonly step: string;
  readonly exact?: boolean;
  readonly inspect?: string | true;
  readonly inspectDeadline: string;
  readonly against?: string;
  readonly device: string;
  readonly tolerance: string;
  readonly set: readonly string[];
}

/** `dtrain debug JOB.yaml`: one training step, node by node, in this process. */
export function registerDebug(program: Command, session: Session): void {
  const command = program
    .command('debug')
    .description('step through one training step of a job, node by node, in plain JavaScript')
    .argument('<job-file>', 'YAML or JSON; its paths are relative to it')
    .addOption(repeatable('--break <node>', 'stop at a node, by name or pattern; repeat for several'))
    .option('--break-on-nan', 'stop at the node that makes the first NaN or infinity')
    .addOption(
      repeatable('--print <value>', 'print a value: type, statistics, first elements; name or pattern'),
    )
    .addOption(
      new Option('--phase <phase>', 'what to look at').choices(['forward', 'backward', 'all']).default('all'),
    )
    .option('--rows <n>', "compute with the batch's first N samples")
    .option('--step <n>', 'with the data of another step than the first', '0')
    .option('--exact', 'keep results in float64: do not round them to their element type')
    .option(
      '--inspect [host:port]',
      'run under the Node inspector and wait for a debugger (default 127.0.0.1:9229)',
    )
    .option('--inspect-deadline <seconds>', 'how long to wait for it', '300')
    .option('--against <engine>', 'have an engine compute every node too, and name the first that differs')
    .option('--device <device>', 'where that engine computes', 'cpu')
    .option('--tolerance <error>', 'largest relative difference (L2) of a value', '1e-3')
    .addOption(repeatable('--set <key=value>', OVERRIDES));
  withJson(command)
    .addHelpText(
      'after',
      `
On a terminal it stops at every break (with neither breaks nor prints at the first node) and asks how to go on.
Elsewhere breaks are printed. Exit code 1: --break-on-nan found something, or --against a difference.
${examples(
  'dtrain debug job.yaml',
  'dtrain debug job.yaml --break-on-nan --rows 8',
  "dtrain debug job.yaml --print 'grad.*' --phase backward --json",
  "dtrain debug job.yaml --break 'blocks.0.attention/*' --inspect",
  'dtrain debug job.yaml --rows 4 --against onnxruntime',
)}`,
    )
    .action((file: string, options: Options) => debug(session, file, options));
}

async function debug(session: Session, file: string, options: Options): Promise<void> {
  const address = options.inspect === undefined ? undefined : inspectorAddress(options.inspect);
  const which = {
    step: wholeNumber('--step', options.step, 0),
    ...(options.rows === undefined ? {} : { rows: wholeNumber('--rows', options.rows, 1) }),
  };
  const deadline = positive('--inspect-deadline', options.inspectDeadline);
  const tolerance = positive('--tolerance', options.tolerance);
  const job = await readJobFile(file, session.cwd, options.set.map(parseOverride));
  const model = await modelBytes(job, session.cwd);
  const { debugStep, openStep } = await import('../../worker/debug/index.js');
  const engine = options.against === undefined ? undefined : await engineFor(options.against, options.device);
  try {
    const pathOf = (name: string) => resolve(job.folder, name);
    const step = await inTermsOf(job, () => openStep(job.spec, model, pathOf, which));
    const { stdin } = session.terminal.streams;
    const onTerminal = stdin?.isTTY === true && session.terminal.interactive && !session.terminal.json;
    const progress = new Progress(session.terminal, session.clock, 'debug');
    const plain = new Printer(session.terminal, progress, session.interrupt);
    const prompt =
      address === undefined && onTerminal
        ? new Prompt(stdin, session.terminal.streams.stdout, session.interrupt)
        : undefined;
    const idle = options.break.length === 0 && options.breakOnNan !== true;
    const inspected = address && (await attach(session, address, deadline, idle ? 'step' : 'continue'));
    const questions = { breaks: options.break, prints: options.print, phase: options.phase };
    let run: DebugRun;
    try {
      const breakFirst = inspected
        ? idle
        : prompt !== undefined && idle && options.print.length === 0 && engine === undefined;
      run = await debugStep(
        step,
        { ...questions, breakOnNan: options.breakOnNan === true, breakFirst, exact: options.exact === true },
        inspected ?? prompt ?? plain,
      );
    } finally {
      prompt?.close();
      progress.stop();
    }
    let comparison: Comparison | undefined;
    if (engine) {
      const { compareWith } = await import('../../worker/debug/index.js');
      const checking = new Progress(session.terminal, session.clock, `on ${engine.name}`);
      const { graph } = step.training;
      comparison = await compareWith(engine, graph, run.computed, run.known, tolerance, (done, total) => {
        checking.update(done, total, 'nodes');
        if (session.interrupt.aborted) throw new InterruptedError();
      }).finally(() => checking.stop());
    }
    answer(session, job, step, run, comparison, options);
  } finally {
    await engine?.dispose();
  }
}

function answer(
  session: Session,
  job: JobFile,
  step: JobStep,
  { report }: DebugRun,
  comparison: Comparison | undefined,
  { breakOnNan }: Options,
): void {
  const total = step.training.graph.nodes.length;
  const document = { job: job.spec.name, ...report, ...(comparison ? { against: comparison } : {}) };
  session.terminal.answer(document, () =>
    [
      summaryText(report, total),
      ...(report.fault ? [faultText(report.fault)] : []),
      ...(comparison ? [comparisonText(comparison)] : []),
    ].join('\n'),
  );
  if ((breakOnNan === true && report.fault !== null) || comparison?.first) session.exitCode = EXIT.failed;
}

/** While a debugger has this thread, no handler of ours runs: Ctrl-C has to end the process by itself. */
async function attach(
  session: Session,
  address: ReturnType<typeof inspectorAddress>,
  deadline: number,
  onward: 'step' | 'continue',
): Promise<InspectorObserver> {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.removeAllListeners(signal);
  session.terminal.note(
    `waiting for a debugger on ${address.host}:${address.port || 'a free port'}: chrome://inspect, or an editor`,
  );
  const observer = await InspectorObserver.open(address, deadline, onward);
  session.terminal.note('attached; each stop is in stoppedAtNode: node, inputs, outputs, value(NAME)');
  return observer;
}

async function engineFor(name: string, device: string) {
  const { createEngine, engineNamed } = await import('../../worker/engine/index.js');
  return createEngine(engineNamed(name), { device });
}

/** What is wrong with the model or the data, said of the job file's lines and files. */
async function inTermsOf<T>(job: JobFile, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    if (!(error instanceof DtrainError) || error.family !== 'user') throw error;
    const report = reportOf(error);
    throw fromReport({ ...report, message: inLocalTerms(report.message, job, report.code) });
  }
}

function wholeNumber(option: string, text: string, least: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= least) return value;
  throw new UsageError(`${option} ${text}: write a whole number from ${least}`);
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (value > 0 && Number.isFinite(value)) return value;
  throw new UsageError(`${option} ${text}: write a number above 0`);
}
