export type { PlanQuestion } from './messages.js';
export * from './thread.js';
