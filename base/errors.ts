/**
 * The three families of failure, after who has to act.
 *
 * - `user`: the user's mistake. The message says what was found, what would be accepted, how to mend it.
 * - `peer`: another process, host, disk or network. The message says who, what, and what happens next.
 * - `bug`: a broken invariant, ours.
 */
export type ErrorFamily = 'user' | 'peer' | 'bug';

export interface ErrorDetails {
  /** The error that led to this one. */
  readonly cause?: unknown;
  /** Whether the same call may succeed later, unchanged. */
  readonly retryable?: boolean;
  /** The ids and values concerned: device, rank, job, node, file, line, ... Plain JSON. */
  readonly ids?: Readonly<Record<string, unknown>>;
}

/** The root of every error that dtrain throws. Folders extend it in their own `errors.ts`. */
export class DtrainError extends Error {
  override readonly name: string;
  readonly retryable: boolean;
  readonly ids: Readonly<Record<string, unknown>>;

  constructor(
    readonly family: ErrorFamily,
    /** Stable, lower_snake_case; scripts match on it. */
    readonly code: string,
    message: string,
    details: ErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = new.target.name;
    this.retryable = details.retryable ?? false;
    this.ids = details.ids ?? {};
  }
}

/** The user's input is wrong; the command line exits with 2. */
export class UserError extends DtrainError {
  constructor(code: string, message: string, details?: ErrorDetails) {
    super('user', code, message, details);
  }
}

/** A peer, a device, the disk or the network failed. */
export class PeerError extends DtrainError {
  constructor(code: string, message: string, details?: ErrorDetails) {
    super('peer', code, message, details);
  }
}

/** An invariant of our own is broken. */
export class InvariantError extends DtrainError {
  constructor(message: string, details?: ErrorDetails) {
    super('bug', 'internal', message, details);
  }
}

/** What crosses a process boundary of an error: plain JSON, no stack. */
export interface ErrorReport {
  readonly family: ErrorFamily;
  readonly code: string;
  readonly message: string;
  readonly ids: Readonly<Record<string, unknown>>;
}

/** Describes anything thrown. What is not a DtrainError is reported as ours (`internal`). */
export function reportOf(error: unknown): ErrorReport {
  if (error instanceof DtrainError) {
    return { family: error.family, code: error.code, message: error.message, ids: error.ids };
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { family: 'bug', code: 'internal', message, ids: {} };
}

/** The error that `reportOf` described, as a DtrainError again. */
export function fromReport(report: ErrorReport): DtrainError {
  return new DtrainError(report.family, report.code, report.message, { ids: report.ids });
}

/** Narrows a value that the types say cannot be there. */
export function unreachable(value: never): never {
  throw new InvariantError(`unexpected value ${JSON.stringify(value)}`);
}
