export { checkTraining } from './check.js';
export { askChild, LastWords } from './child.js';
export { ENGINES_OF, listedEngines } from './engines.js';
export { hardwareOf, type Hardware } from './hardware.js';
export * from './host.js';
export { discover, EMPTY_INVENTORY, parseNvidia, type Inventory, type NvidiaGpu } from './inventory.js';
export { DeviceLock, LOCK_FOLDER } from './lock.js';
export * from './resolve.js';
export * from './spec.js';
