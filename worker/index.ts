export { WorkerDaemon, type WorkerOptions } from './daemon/index.js';
export { parseDeviceSpec, resolveDevices, type DeviceSpec, type HostResources, type ResolvedDevice } from './device/index.js';
