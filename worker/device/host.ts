import { availableParallelism, totalmem } from 'node:os';
import type { HostResources } from './resolve.js';

/** What this process may use of its host: a container's limits count, not the machine's. */
export function hostResources(): HostResources {
  const limit = process.constrainedMemory(); // 0 or absurdly large where there is no limit
  const total = totalmem();
  return { cores: availableParallelism(), memoryBytes: limit > 0 && limit < total ? limit : total };
}
