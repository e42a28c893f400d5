export * from './resolve.js';
export * from './spec.js';
