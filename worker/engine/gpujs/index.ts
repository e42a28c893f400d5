export { GpuJsEngine } from './engine.js';
