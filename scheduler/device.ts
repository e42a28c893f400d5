import type { Bytes, Flops, Seconds } from '../base/index.js';
import type { Calibration } from './calibration.js';

export type DeviceKind = 'cpu' | 'webgpu' | 'cuda' | 'webgl' | 'wasm';

/** Kinds of devices whose values lie in memory of their own; a software adapter's is a part of the host's all the same. */
export function hasOwnMemory(kind: DeviceKind): boolean {
  return kind === 'webgpu' || kind === 'cuda' || kind === 'webgl';
}

/** A device that can take part: one executor process runs on it. */
export interface Device {
  /** `HOST/KIND:INDEX`, unique in a cluster: `old/cpu:0`. */
  readonly id: string;
  readonly host: string;
  readonly kind: DeviceKind;
  /** The explicit budget: everything that its executor holds fits in it. */
  readonly memoryBytes: Bytes;
  /** Measured rate of a float32 matrix product, throttling included, in floating-point operations per second. */
  readonly flops: Flops;
  /** Rate of convolutions where it was measured; default: that of matrix products. */
  readonly convolutionFlops?: Flops;
  /** At what rate operators that only move numbers read and write; default: `DEFAULT_MEMORY_BANDWIDTH`. */
  readonly memoryBandwidthBytesPerSecond?: number;
  /** What starting one operator costs; default: `DEFAULT_LAUNCH_SECONDS`. */
  readonly launchSeconds?: Seconds;
  /** What the model that is planned was found to take there; default: what the rates foretell. */
  readonly calibration?: Calibration;
  /** What computes there; default: onnxruntime. */
  readonly engine?: string;
  /**
   * Operators that it can run, `domain:Name` for those of other domains than ONNX's own; default: all of these. Users' own
   * are not among them but where the list has `OWN_OPERATORS`, and `ALL_OPERATORS` stands for all others.
   */
  readonly operators?: readonly string[];
  /** The largest single value that it takes; default: any. */
  readonly maxBufferBytes?: Bytes;
  /** Whether the budget is of memory of the device's own, and not of the host's; default: the host's. */
  readonly ownMemory?: boolean;
}

/** What is measured of a device, throttling included. */
export type DeviceRates = Required<
  Pick<Device, 'flops' | 'convolutionFlops' | 'memoryBandwidthBytesPerSecond' | 'launchSeconds'>
>;

/** In a device's list: it runs operators that users have defined. */
export const OWN_OPERATORS = '*:*';
/** In a device's list: it runs all operators of ours. */
export const ALL_OPERATORS = '*';

/** Whether an operator is a user's own: of a domain that is none of ours. */
export function isOwnOperator(operator: string): boolean {
  return operator.includes(':') && !operator.startsWith('com.microsoft:');
}

/** Whether a device whose list is `known` runs an operator. */
export function runsOperator(known: ReadonlySet<string> | undefined, operator: string): boolean {
  if (isOwnOperator(operator)) {
    // a list that somebody has written may name single ones, whose gradients run with them
    const [title] = operator.split('.grad.');
    return known !== undefined && (known.has(OWN_OPERATORS) || known.has(title!));
  }
  return !known || known.has(ALL_OPERATORS) || known.has(operator);
}

/** Assumed of a device whose memory was not measured: one channel of DDR4 as elementwise operators see it. */
export const DEFAULT_MEMORY_BANDWIDTH = 10e9;

/** Assumed of a device whose launches were not measured: what onnxruntime takes for an empty operator on a CPU. */
export const DEFAULT_LAUNCH_SECONDS: Seconds = 5e-6;

/** What moving bytes between two hosts costs: seconds = latency + bytes / bandwidth. */
export interface Link {
  readonly bandwidthBytesPerSecond: number;
  readonly latencySeconds: number;
}

/** Assumed between devices until a link has been measured: 1 GB/s and 0.2 ms, a wired local network. */
export const DEFAULT_LINK: Link = { bandwidthBytesPerSecond: 1e9, latencySeconds: 0.0002 };

/** Assumed between devices of one host until it has been measured: shared memory. */
export const DEFAULT_LOCAL_LINK: Link = { bandwidthBytesPerSecond: 4e9, latencySeconds: 0.00005 };

/** How the devices of a cluster reach each other. */
export interface Topology {
  /** Links that were measured or given, each in both directions. */
  readonly links: readonly (Link & { readonly between: readonly [string, string] })[];
  /** Between hosts that no link names; default: `DEFAULT_LINK`. */
  readonly defaultLink?: Link;
  /** Within a host; default: `DEFAULT_LOCAL_LINK`. */
  readonly localLink?: Link;
}
