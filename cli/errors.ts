import { DtrainError, PeerError, UserError, type ErrorDetails } from '../base/index.js';
import type { Problem } from '../protocol/index.js';

/** Wrong options or arguments on the command line. */
export class UsageError extends UserError {
  constructor(message: string, details?: ErrorDetails) {
    super('usage', message, details);
  }
}

/** A job file that cannot be read or does not fit; the message starts with FILE:LINE where the line is known. */
export class JobFileError extends UserError {
  constructor(message: string, ids: Readonly<Record<string, unknown>>, cause?: unknown) {
    super('bad_job_file', message, cause === undefined ? { ids } : { ids, cause });
  }
}

/** A model that cannot be turned into ONNX on this side. */
export class ModelFileError extends UserError {
  constructor(message: string, ids: Readonly<Record<string, unknown>>, cause?: unknown) {
    super('bad_model', message, cause === undefined ? { ids } : { ids, cause });
  }
}

/** The output folder cannot be written. */
export class OutputFolderError extends UserError {
  constructor(directory: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super('output_not_writable', `output: ${directory} cannot be written (${why}); name another folder`, {
      ids: { field: 'output', directory },
      cause,
    });
  }
}

/** Nothing answered at the coordinator's address; the command line exits with 3. */
export class CoordinatorUnreachableError extends PeerError {
  constructor(url: string, cause?: unknown) {
    super(
      'coordinator_unreachable',
      `nothing answered at the coordinator's address ${url}; start one with "dtrain up" (this host) or ` +
        `"dtrain coordinator", or name another with --coordinator URL or DTRAIN_COORDINATOR`,
      { retryable: true, ids: { coordinator: url }, cause },
    );
  }
}

/** The coordinator answered with an RFC 9457 problem. */
export class ProblemError extends DtrainError {
  readonly status: number;

  constructor(private readonly problem: Problem) {
    const { status, code, detail, family, ids } = problem;
    super(family, code, detail, { ids, retryable: status === 503 });
    this.status = status;
  }

  /** The same problem in other words. */
  withMessage(detail: string): ProblemError {
    return new ProblemError({ ...this.problem, detail });
  }
}

/** What answered does not speak dtrain's REST. */
export class NotACoordinatorError extends PeerError {
  constructor(url: string, found: string) {
    super(
      'not_a_coordinator',
      `${url} answered, but not as a dtrain coordinator: ${found}; check the address`,
      {
        ids: { coordinator: url },
      },
    );
  }
}

/** The connection broke in the middle of an answer. */
export class ConnectionLostError extends PeerError {
  constructor(url: string, what: string, cause: unknown) {
    super('connection_lost', `the connection to ${url} broke while ${what}; try again`, {
      retryable: true,
      ids: { coordinator: url },
      cause,
    });
  }
}

/** No debugger attached, or the inspector cannot listen. */
export class DebuggerError extends PeerError {
  constructor(message: string, cause?: unknown) {
    super('no_debugger', message, cause === undefined ? {} : { cause });
  }
}

/** Ctrl-C; the command line exits with 130. */
export class InterruptedError extends PeerError {
  constructor(message = 'interrupted') {
    super('interrupted', message);
  }
}
