import { fork } from 'node:child_process';
import type { Seconds } from '../../base/index.js';
import { DeviceProbeError } from '../errors.js';

/** Of what a child writes on stderr, so many of the last characters are kept. */
const KEPT_CHARACTERS = 2000;

/** The last thing that a process said on stderr: what a driver says before it aborts. */
export class LastWords {
  private text = '';

  add(chunk: Buffer): void {
    this.text = (this.text + chunk.toString()).slice(-KEPT_CHARACTERS);
  }

  /** `: the last line`, or nothing. */
  toString(): string {
    const line = this.text
      .split('\n')
      .map((each) => each.trim())
      .filter((each) => each !== '' && !/^at /.test(each))
      .at(-1);
    return line === undefined ? '' : `: ${line}`;
  }
}

/**
 * What a module answers that runs in a process of its own: drivers hang, abort and print. It sends one message.
 * @param entry the module's path
 * @param signal ends the waiting, and the process
 * @throws DeviceProbeError where it ended without an answer or none came in time
 */
export function askChild(
  entry: string,
  what: string,
  seconds: Seconds,
  signal?: AbortSignal,
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const child = fork(entry, [], { stdio: ['ignore', 'ignore', 'pipe', 'ipc'] });
    const words = new LastWords();
    const fail = (how: string) => settle(() => reject(new DeviceProbeError(`${what}: ${how}`)));
    const timer = setTimeout(() => fail(`no answer within ${seconds} s${words.toString()}`), seconds * 1000);
    const stop = () => fail('it was interrupted');
    const settle = (act: () => void) => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', stop);
      child.kill('SIGKILL'); // an answer is all that was wanted; some drivers crash as their process ends
      act();
    };
    if (signal?.aborted) stop();
    else signal?.addEventListener('abort', stop, { once: true });
    child.stderr?.on('data', (chunk: Buffer) => words.add(chunk));
    child.once('message', (message) => settle(() => resolve(message)));
    child.once('error', ({ message }) => fail(message));
    child.once('close', (code, signal) =>
      fail(`its process ${signal ? `was ended by ${signal}` : `exited with ${code}`}${words.toString()}`),
    );
  });
}
