import { Command } from 'commander';
import { version } from '../base/index.js';
import { registerBenchStep } from './commands/bench-step.js';
import { registerBench } from './commands/bench.js';
import { registerCancel } from './commands/cancel.js';
import { registerCoordinator } from './commands/coordinator.js';
import { registerDebug } from './commands/debug.js';
import { registerDevices } from './commands/devices.js';
import { registerFetch } from './commands/fetch.js';
import { registerGradcheck } from './commands/gradcheck.js';
import { registerList } from './commands/list.js';
import { registerLogs } from './commands/logs.js';
import { registerPlan } from './commands/plan.js';
import { registerStatus } from './commands/status.js';
import { registerSubmit } from './commands/submit.js';
import { registerUp } from './commands/up.js';
import { registerWorker } from './commands/worker.js';
import type { Session } from './session.js';

/** The command line: every command, none of them run. Throws CommanderError instead of ending the process. */
export function createProgram(session: Session): Command {
  const { stdout, stderr } = session.terminal.streams;
  const program = new Command('dtrain')
    .description('Train one neural network on all the unequal devices you own.')
    .version(version)
    .exitOverride()
    .configureOutput({
      writeOut: (text) => stdout.write(text),
      writeErr: (text) => stderr.write(text),
    })
    .showHelpAfterError('(add --help for the options and examples)')
    .showSuggestionAfterError()
    .addHelpText(
      'after',
      `
First steps:
  $ dtrain up
  $ dtrain submit job.yaml --follow     in another terminal; docs/job-file.md says what stands in a job file

Exit codes: 0 done, 1 the job or check failed, 2 wrong input, 3 no coordinator there, 130 interrupted.
Logs: DTRAIN_LOG=debug|info|warn|error. Colour: only on a terminal, never with NO_COLOR.`,
    );
  for (const register of [
    registerUp,
    registerCoordinator,
    registerWorker,
    registerDevices,
    registerPlan,
    registerSubmit,
    registerList,
    registerStatus,
    registerLogs,
    registerCancel,
    registerFetch,
    registerGradcheck,
    registerDebug,
  ]) {
    register(program, session);
  }
  registerBenchStep(registerBench(program, session), session);
  return program;
}
