export { listDevices, type HostDevice, type HostDevices, type UnavailableDevice } from './listing.js';
