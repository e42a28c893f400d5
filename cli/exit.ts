import { CommanderError } from 'commander';
import { DtrainError, reportOf, type ErrorReport } from '../base/index.js';
import { InterruptedError } from './errors.js';

/** What scripts test: see docs/cli.md. */
export const EXIT = { done: 0, failed: 1, badInput: 2, unreachable: 3, interrupted: 130 } as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The one place that decides how the process ends for a given error. */
export function exitCodeOf(error: unknown): ExitCode {
  // ours, and the one of a worker that finds nobody to join
  if (error instanceof DtrainError && error.code === 'coordinator_unreachable') return EXIT.unreachable;
  if (error instanceof InterruptedError) return EXIT.interrupted;
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.badInput;
  if (error instanceof DtrainError && error.family === 'user') return EXIT.badInput;
  return EXIT.failed;
}

/** An error for `--json` and for people: never a stack. */
export function describeError(error: unknown): ErrorReport {
  if (error instanceof CommanderError) {
    const message = error.message.replace(/^error: /, '');
    return { family: 'user', code: 'usage', message, ids: {} };
  }
  const report = reportOf(error);
  if (error instanceof DtrainError && error.family !== 'bug') return report;
  const message = error instanceof Error ? error.message : String(error);
  return {
    ...report,
    message: `${message} (a mistake in dtrain, not yours: run again with DTRAIN_LOG=debug and report it)`,
  };
}
