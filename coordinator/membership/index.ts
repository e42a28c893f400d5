export * from './hello.js';
export * from './lease.js';
export * from './members.js';
