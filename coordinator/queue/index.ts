export * from './bullmq.js';
export * from './port.js';
