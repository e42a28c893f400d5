export {
  noSuchAdapter,
  openWebgpu,
  webgpuAdapters,
  type WebgpuAdapter,
  type WebgpuAdapters,
} from './webgpu.js';
