/** A process that looks for the WebGPU adapters of this host, says which there are, and ends. */
import { reportOf } from '../../base/index.js';
import { webgpuAdapters } from '../engine/adapters/index.js';

webgpuAdapters()
  .catch((error: unknown) => ({ adapters: [], unusable: [], problem: reportOf(error).message }))
  .then((answer) => process.send?.(answer))
  .catch(() => process.exit(1));
