export { startCoordinator, type Coordinator, type CoordinatorOptions } from './coordinator.js';
export { startPrivateRedis, type PrivateRedis } from './redis/index.js';
