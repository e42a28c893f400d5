export { startCoordinator, type Coordinator, type CoordinatorOptions } from './coordinator.js';
export { startPrivateRedis, type PrivateRedis } from './redis/index.js';
export { planInputOf, type PlanInput } from './prepare/plan-input.js';
