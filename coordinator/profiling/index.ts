export { Profiler, type ProfilerPort } from './profiler.js';
export { Timings } from './timings.js';
