import { Writable } from 'node:stream';
import { run } from '../../cli/run.js';
import { createSession } from '../../cli/session.js';
import type { RunOptions } from './process.js';

export interface Answered {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a client command in this process: what it says and how it ends, without the second that a process of its own takes
 * to start. That the command line is one, with signals and pipes, is for tests that start it.
 */
export async function command(
  args: readonly string[],
  { cwd = process.cwd(), env = {} }: Pick<RunOptions, 'cwd' | 'env'> = {},
): Promise<Answered> {
  const [stdout, stderr] = [new Collected(), new Collected()];
  const { DTRAIN_COORDINATOR: _none, NO_COLOR: _colour, ...rest } = process.env;
  const streams = { stdout, stderr, env: { ...rest, ...env } };
  const session = { ...createSession(streams, args.includes('--json'), new AbortController().signal), cwd };
  const code = await run(args, session);
  return { code, stdout: stdout.text, stderr: stderr.text };
}

/** A stream that is no terminal. */
class Collected extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}
