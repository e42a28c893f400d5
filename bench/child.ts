import { spawn } from 'node:child_process';
import type { Seconds } from '../base/index.js';

/** What came of a program that was started. */
export interface Ended {
  /** Exit code, or the signal that ended it; SIGKILL after the limit, ENOENT where there is no such program. */
  readonly code: number | string;
  readonly stdout: string;
  /** The last few thousand characters. */
  readonly stderr: string;
}

/** Runs a program to its end, at most `limit` seconds. Never rejects. */
export async function run(program: string, words: readonly string[], limit: Seconds): Promise<Ended> {
  const child = spawn(program, words, {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: limit * 1000,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr = (stderr + text).slice(-4000)));
  const code = await new Promise<number | string>((resolve) => {
    child.on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    child.on('close', (status, signal) => resolve(status ?? signal ?? 'unknown'));
  });
  return { code, stdout, stderr };
}

/** In a line: why a program failed. */
export function failureOf({ code, stderr }: Ended, limit: Seconds): string {
  if (code === 'SIGKILL') return `took more than ${limit} s`;
  // what an error ends with is often a bracket alone
  const last = stderr.split('\n').findLast((line) => line.trim().length > 10) ?? '';
  return `${last.trim().slice(0, 200)} (exit ${code})`;
}
