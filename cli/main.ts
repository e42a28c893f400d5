import { EXIT } from './exit.js';
import { run } from './run.js';
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
process.exitCode = await run(process.argv.slice(2), session);
// what is left open at the end (a connection, a child that does not answer) must not keep the process
setTimeout(() => process.exit(), LINGER_MS).unref();
