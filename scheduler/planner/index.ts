export { lowerBound } from './bound.js';
export { calibrate, rangesToTime } from './calibrate.js';
export { Abilities } from './abilities.js';
export type {
  Cut,
  FusedBytes,
  LayerProfile,
  Unit,
  UnitParameter,
  UnitRange,
  ValueBytes,
  Work,
} from './layers.js';
export { makePlan } from './make-plan.js';
export type { JobBytes } from './memory.js';
export type { Forced, PlanRequest } from './request.js';
