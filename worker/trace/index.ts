export { TraceRecorder, type TraceOptions } from './recorder.js';
