export * from './artifact.js';
export * from './device.js';
export * from './job.js';
export * from './plan.js';
export * from './problem.js';
