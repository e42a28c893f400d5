export * from './clock.js';
export * from './deadline.js';
export * from './errors.js';
export * from './ids.js';
export * from './logger.js';
export * from './random.js';
export * from './units.js';
export * from './version.js';
