export { ArtifactCache, type ArtifactSource } from './artifact-cache.js';
export { WorkerDaemon, type WorkerOptions } from './daemon.js';
export { ExecutorProcess } from './executor-process.js';
export { Scratch } from './scratch.js';
