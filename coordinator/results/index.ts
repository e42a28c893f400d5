export * from './claim.js';
export * from './files.js';
export * from './job-results.js';
export * from './report.js';
