import { PeerError, UserError, type ErrorDetails } from '../base/index.js';

/** A device SPEC on the command line is wrong. */
export class DeviceSpecError extends UserError {
  constructor(spec: string, problem: string) {
    super(
      'bad_device',
      `--device ${spec}: ${problem}; write KIND[:INDEX][,memory=2GiB][,threads=1][,engine=onnxruntime][,speed=0.5]`,
      { ids: { spec } },
    );
  }
}

/** The coordinator refused this daemon, or cannot be reached. */
export class CoordinatorError extends PeerError {}

/** An executor process died or stopped answering. */
export class ExecutorError extends PeerError {
  constructor(
    code: 'executor_died' | 'executor_stalled' | 'executor_failed_to_start',
    device: string,
    /** The message without the device. */
    readonly what: string,
    cause?: unknown,
  ) {
    super(code, `${device}: ${what}`, { ids: { device }, cause });
  }
}

/** An artifact did not arrive as promised. */
export class ArtifactError extends PeerError {
  constructor(message: string, details?: ErrorDetails) {
    super('bad_artifact', message, details);
  }
}

/** A file of this host could not be written or read. */
export class DiskError extends PeerError {
  constructor(doing: string, path: string, cause: unknown) {
    const why = cause instanceof Error ? cause.message : String(cause);
    super('disk', `${doing} ${path}: ${why}; make room there, or give the worker another folder`, {
      cause,
      ids: { path },
    });
  }
}

/** The numbers have left the reals: the loss or a gradient is NaN or infinite. */
export class DivergedError extends UserError {
  constructor(step: number, what: string) {
    super(
      'diverged',
      `step ${step}: ${what}; lower the learning rate, add warmupSteps or clipNorm, or check the data’s scale`,
      { ids: { step } },
    );
  }
}

/** The run was told to stop; not a fault. */
export class StoppedError extends PeerError {
  constructor(reason: string) {
    super('stopped', reason);
  }
}
