export * from './action.js';
export { ScheduleError } from './errors.js';
export { makeSchedule, type ScheduleShape } from './generate.js';
export { parseGrid, printGrid } from './grid.js';
export { heldBy, mostInFlight, type Held } from './memory.js';
export {
  SCHEDULE_KINDS,
  computationsOf,
  rankOf,
  withTransfers,
  type PipelineSchedule,
  type ScheduleKind,
  type Step,
} from './schedule.js';
export {
  simulate,
  uniformCosts,
  type PipelineCosts,
  type Simulation,
  type StageCosts,
  type TimelineEvent,
  type TransferCost,
} from './simulate.js';
export { validateSchedule, type ActivationLimits } from './validate.js';
