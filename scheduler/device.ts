import type { Bytes, Flops } from '../base/index.js';

export type DeviceKind = 'cpu' | 'webgpu' | 'cuda' | 'webgl' | 'wasm';

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
}

/** What moving bytes between two hosts costs: seconds = latency + bytes / bandwidth. */
export interface Link {
  readonly bandwidthBytesPerSecond: number;
  readonly latencySeconds: number;
}

/** Assumed between devices until a link has been measured: 1 GB/s and 0.2 ms, a wired local network. */
export const DEFAULT_LINK: Link = { bandwidthBytesPerSecond: 1e9, latencySeconds: 0.0002 };
