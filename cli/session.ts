import { systemClock, type Clock } from '../base/index.js';
import { RestClient } from './client/rest.js';
import { UsageError } from './errors.js';
import { EXIT, type ExitCode } from './exit.js';
import { Terminal, type Streams } from './terminal/terminal.js';

export const DEFAULT_COORDINATOR = 'http://127.0.0.1:7700';

/** What a command gets from the process that runs it. */
export interface Session {
  readonly terminal: Terminal;
  readonly env: NodeJS.ProcessEnv;
  readonly cwd: string;
  readonly clock: Clock;
  /** Aborted by the first Ctrl-C or SIGTERM; its reason is the signal's name. */
  readonly interrupt: AbortSignal;
  /** How the process will end; a command sets it where it is not `done`. */
  exitCode: ExitCode;
}

export function createSession(streams: Streams, json: boolean, interrupt: AbortSignal): Session {
  return {
    terminal: new Terminal(streams, json),
    env: streams.env,
    cwd: process.cwd(),
    clock: systemClock,
    interrupt,
    exitCode: EXIT.done,
  };
}

/** Where the coordinator is said to be; undefined where nobody said it. */
export function namedCoordinator(session: Session, option: string | undefined): string | undefined {
  const text = option ?? session.env['DTRAIN_COORDINATOR'];
  return text === undefined || text === '' ? undefined : coordinatorUrl(text);
}

/** The client for `--coordinator`, `DTRAIN_COORDINATOR` or the default address. */
export function clientFor(session: Session, option: string | undefined): RestClient {
  return new RestClient(namedCoordinator(session, option) ?? DEFAULT_COORDINATOR, session.interrupt);
}

/** @throws UsageError for what is no http address */
function coordinatorUrl(text: string): string {
  const address = /^[a-z]+:\/\//i.test(text) ? text : `http://${text}`;
  if (!/^https?:\/\//i.test(address) || !URL.canParse(address)) {
    throw new UsageError(`--coordinator: "${text}" is not an address; write http://HOST:7700`);
  }
  return new URL(address).href.replace(/\/$/, '');
}
