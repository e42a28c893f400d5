import { CommanderError } from 'commander';
import { EXIT, exitCodeOf, type ExitCode } from './exit.js';
import { createProgram } from './program.js';
import type { Session } from './session.js';

/**
 * Runs one command to its end. What goes wrong is told on the session's terminal.
 * @param args the words after `dtrain`
 * @returns how the process is to end
 */
export async function run(args: readonly string[], session: Session): Promise<ExitCode> {
  try {
    await createProgram(session).parseAsync(args, { from: 'user' });
    return session.exitCode;
  } catch (error) {
    // commander has printed its own message; help and version are no errors
    if (!(error instanceof CommanderError)) session.terminal.fail(error);
    else if (error.exitCode !== EXIT.done) session.terminal.answerError(error);
    return exitCodeOf(error);
  }
}
