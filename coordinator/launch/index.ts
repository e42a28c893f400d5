export * from './machine.js';
export * from './overrun.js';
export * from './rank.js';
export * from './run.js';
