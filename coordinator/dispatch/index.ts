export * from './decide.js';
export * from './dispatcher.js';
export * from './planning.js';
export * from './replan.js';
