import { CommanderError } from 'commander';
import { EXIT, exitCodeOf } from './exit.js';
import { createProgram } from './program.js';
import { createSession } from './session.js';

/** The process: signals in, one exit code out. */
const LINGER_MS = 2000;
const interrupt = new AbortController();
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => {
    if (interrupt.signal.aborted) process.exit(EXIT.interrupted);
    interrupt.abort(signal);
  });
}
// a reader that has seen enough (| head) closes the pipe; that is no mistake of ours
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(EXIT.done);
    throw error;
  });
}

const session = createSession(
  {
    get stdin() {
      return process.stdin; // not touched where nothing is asked
    },
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
  },
  process.argv.includes('--json'),
  interrupt.signal,
);
try {
  await createProgram(session).parseAsync(process.argv);
  if (session.exitCode !== EXIT.done) process.exitCode = session.exitCode;
} catch (error) {
  process.exitCode = exitCodeOf(error);
  // commander has printed its own message; help and version are no errors
  if (!(error instanceof CommanderError)) session.terminal.fail(error);
  else if (error.exitCode !== 0) session.terminal.answerError(error);
}
// what is left open at the end (a connection, a child that does not answer) must not keep the process
setTimeout(() => process.exit(), LINGER_MS).unref();
