export * from './link.js';
export * from './private.js';
