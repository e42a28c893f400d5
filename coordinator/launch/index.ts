export * from './machine.js';
export * from './rank.js';
export * from './run.js';
