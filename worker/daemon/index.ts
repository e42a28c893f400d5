export { WorkerDaemon, type WorkerOptions } from './daemon.js';
