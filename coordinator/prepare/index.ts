export type { Inspection } from './inspect.js';
export type { PlanQuestion } from './messages.js';
export * from './thread.js';
