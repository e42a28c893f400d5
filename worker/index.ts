import { WorkerDaemon, type WorkerOptions } from './daemon/index.js';

/** Starts a host's daemon: see WorkerDaemon. */
export function startWorkerDaemon(options: WorkerOptions): Promise<WorkerDaemon> {
  return WorkerDaemon.start(options);
}

export type { WorkerDaemon, WorkerOptions };
export {
  hostResources,
  parseDeviceSpec,
  resolveDevices,
  type DeviceSpec,
  type HostResources,
  type ResolvedDevice,
} from './device/index.js';
export { listDevices, type HostDevice, type HostDevices, type UnavailableDevice } from './listing/index.js';
