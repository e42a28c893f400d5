export * from './link.js';
export * from './ownership.js';
export * from './private.js';
