import { InvariantError, PeerError, UserError, formatBytes } from '../base/index.js';

/** A job met an event that its state has no transition for. */
export class IllegalTransitionError extends InvariantError {
  constructor(what: string, state: string, event: string) {
    super(`${what}: no transition from "${state}" by "${event}"`, { ids: { state, event } });
  }
}

/** Somebody else wrote to the job's log since it was read: another coordinator on the same Redis. */
export class VersionConflictError extends PeerError {
  constructor(job: string, expected: number, found: number) {
    super(
      'version_conflict',
      `${job}: its log has ${found} events, ${expected} were known here; another coordinator uses the same Redis. ` +
        'This one lets go of the job',
      { ids: { job, expected, found } },
    );
  }
}

export class RedisUnavailableError extends PeerError {
  constructor(address: string, cause: unknown, advice: string) {
    const reason = cause instanceof Error && cause.message !== '' ? cause.message : 'no connection';
    super('redis_unavailable', `Redis at ${address} does not answer (${reason}); ${advice}`, {
      cause,
      retryable: true,
      ids: { address },
    });
  }
}

/** Another coordinator owns the jobs there. */
export class RedisInUseError extends UserError {
  constructor(address: string, host: string, pid: number) {
    super(
      'redis_in_use',
      `another coordinator (process ${pid} on ${host}) keeps its jobs in Redis at ${address}; ` +
        'end it, or give this one another Redis or another database (redis://HOST:PORT/1)',
      { ids: { address, host, pid } },
    );
  }
}

/** `redis-server` is missing, or did not start. */
export class RedisStartError extends UserError {
  constructor(message: string, cause?: unknown) {
    super('redis_not_started', message, cause === undefined ? {} : { cause });
  }
}

export class AddressError extends UserError {
  constructor(what: string, address: string, cause: unknown) {
    const code = codeOf(cause);
    const [kind, reason] =
      code === 'EADDRINUSE'
        ? (['address_in_use', 'another program listens there; end it, or choose another port'] as const)
        : ([
            'address_unusable',
            `it cannot be listened on (${code}); choose an address of this host`,
          ] as const);
    super(kind, `${what} ${address}: ${reason}`, { cause, ids: { address } });
  }
}

/** The system's code of a failure (`EADDRINUSE`), found in its text where a library wrapped it. */
function codeOf(cause: unknown): string {
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') return cause.code;
  const text = cause instanceof Error ? cause.message : String(cause);
  return /\bE[A-Z]{4,}\b/.exec(text)?.[0] ?? text;
}

export class JobNotFoundError extends UserError {
  constructor(job: string) {
    super('job_not_found', `there is no job ${job}; list them with: dtrain list`, { ids: { job } });
  }
}

export class JobOverError extends UserError {
  constructor(job: string, state: string) {
    super('job_over', `job ${job} is ${state}: there is nothing to cancel`, { ids: { job, state } });
  }
}

/** The same job into the same folder is not over yet. */
export class DuplicateSubmissionError extends UserError {
  constructor(job: string) {
    super(
      'duplicate_submission',
      `the same job is not over yet: it is ${job}. Follow it with: dtrain logs ${job} --follow; ` +
        `to run it anew, cancel it first (dtrain cancel ${job}) or give the new one another output folder`,
      { ids: { job } },
    );
  }
}

export class IdempotencyConflictError extends UserError {
  constructor(job: string) {
    super(
      'idempotency_conflict',
      `this Idempotency-Key was used for another submission, which became job ${job}; use a new key for a new job`,
      { ids: { job } },
    );
  }
}

/** The job asks for what this version does not do. */
export class UnsupportedJobError extends UserError {
  constructor(field: string, message: string) {
    super('unsupported', message, { ids: { field } });
  }
}

/** The request itself cannot be served: not the job's content but how it was asked for. */
export class RequestError extends UserError {
  constructor(code: string, message: string, ids: Readonly<Record<string, unknown>> = {}) {
    super(code, message, { ids });
  }
}

export class ArtifactMissingError extends UserError {
  constructor(missing: readonly { readonly field: string; readonly sha256: string }[]) {
    const list = missing.map(({ field, sha256 }) => `${field} (${sha256})`).join(', ');
    super(
      'artifact_missing',
      `not uploaded: ${list}; PUT each to /v1/artifacts/{sha256}, then submit again`,
      { ids: { missing } },
    );
  }
}

export class ArtifactHashError extends UserError {
  constructor(expected: string, found: string) {
    super(
      'artifact_hash_mismatch',
      `the bytes have the SHA-256 ${found}, not ${expected}; they were thrown away. Upload the file again`,
      { ids: { expected, found } },
    );
  }
}

export class ArtifactTooLargeError extends UserError {
  constructor(sha256: string, limit: number) {
    super('artifact_too_large', `artifact ${sha256} is larger than the limit of ${formatBytes(limit)}`, {
      ids: { sha256, limit },
    });
  }
}

/** Ranks said that they were done, and handed over no weights. */
export class WeightsMissingError extends PeerError {
  constructor(devices: readonly string[]) {
    super(
      'weights_missing',
      `${devices.join(', ')}: finished without handing over the trained weights; submit the job again`,
      { ids: { devices, device: devices[0] ?? null } },
    );
  }
}

/** A part of the coordinator's own host failed: its disk, its preparation thread. */
export class HostError extends PeerError {}
