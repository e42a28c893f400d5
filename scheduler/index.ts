export * from './account.js';
export * from './buckets.js';
export * from './data-parallel.js';
export * from './device.js';
export * from './errors.js';
export * from './plan.js';
export * from './profile.js';
export * from './shares.js';
