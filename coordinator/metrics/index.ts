export * from './counts.js';
export * from './metrics.js';
