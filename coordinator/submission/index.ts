export * from './submit.js';
export * from './intake.js';
