export * from './host.js';
export * from './probe.js';
export * from './resolve.js';
export * from './spec.js';
