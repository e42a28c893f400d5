import { formatBytes, PeerError, UserError, type Bytes, type ErrorDetails } from '../base/index.js';
import type { HeldItem } from './memory/index.js';

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

/** A device was tried and does not work, or not right: the driver's fault or the host's. */
export class DeviceProbeError extends PeerError {
  constructor(message: string, details?: ErrorDetails) {
    super('device_unusable', message, details);
  }
}

/** Another worker of this host has the GPU. */
export class DeviceTakenError extends UserError {
  constructor(device: string, holder: string) {
    super(
      'device_taken',
      `${device} is taken: ${holder} has that GPU; end that worker, or name another device`,
      { ids: { device } },
    );
  }
}

/** Whether another worker has a GPU cannot be told. */
export class DeviceLockError extends UserError {
  constructor(device: string, path: string, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(
      'device_lock',
      `${device}: workers keep a GPU to themselves by the file ${path}, which cannot be used: ${reason}; remove it where ` +
        'no worker of this host has that GPU',
      { ids: { device }, cause },
    );
  }
}

/** None of the devices that a worker was started with works. */
export class NoDeviceError extends UserError {
  constructor(reasons: readonly string[]) {
    super(
      'no_device',
      `no device is left: ${reasons.join('; ')}; "dtrain devices" lists those that work here`,
      {
        ids: { reasons },
      },
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

/** How many of the things that an executor holds its message names, and how many are told at all. */
const NAMED_ITEMS = 4;
const TOLD_ITEMS = 32;

/** What is known of an executor that takes more memory than its device has for it. */
export interface Overrun {
  readonly device: string;
  readonly budgetBytes: Bytes;
  /** Whether that is what the process may have of the host's memory, the device having its own. */
  readonly ofHost?: boolean;
  readonly measuredBytes: Bytes;
  /** What the plan counted for its rank; 0 where no plan was read yet. */
  readonly predictedBytes: Bytes;
  /** What the run has allocated, largest first; empty where nobody could ask. */
  readonly held: readonly HeldItem[];
}

/** An executor takes more memory than its device has for it. */
export class OverBudgetError extends UserError {
  constructor(overrun: Overrun) {
    const { device, budgetBytes, measuredBytes, predictedBytes, ofHost = false } = overrun;
    const held = overrun.held.slice(0, TOLD_ITEMS);
    const took = `${device}: its executor took ${formatBytes(measuredBytes)}`;
    super(
      ofHost ? 'host_memory' : 'over_budget',
      ofHost
        ? `${took} of the host's memory, of which it may have ${formatBytes(budgetBytes)}${listed(overrun.held)}; ` +
            'start its worker with fewer devices, or give the job a smaller batch'
        : `${took} of a budget of ${formatBytes(budgetBytes)} ` +
            `(the plan counted ${formatBytes(predictedBytes)})${listed(overrun.held)}; ` +
            'give the device more memory, or the job a smaller batch',
      { ids: { device, budgetBytes, measuredBytes, predictedBytes, held } },
    );
  }
}

function listed(held: readonly HeldItem[]): string {
  if (held.length === 0) return '';
  const named = held.slice(0, NAMED_ITEMS).map(({ what, bytes }) => `${formatBytes(bytes)} ${what}`);
  const more = held.length - named.length;
  return `; most of it are ${named.join(', ')}${more > 0 ? `, and ${more} more` : ''}`;
}

/** The run was told to stop; not a fault. */
export class StoppedError extends PeerError {
  constructor(reason: string) {
    super('stopped', reason);
  }
}
