import { readFileSync, writeFileSync } from 'node:fs';

/**
 * The process's resident set at its highest since `start`, in bytes.
 *
 * Linux keeps a high-water mark that can be set back; elsewhere the mark of the whole process's life is read,
 * which is an upper bound.
 */
export class PeakMemory {
  constructor() {
    try {
      writeFileSync('/proc/self/clear_refs', '5');
    } catch {
      // not Linux, or not permitted: the mark of the process's life remains
    }
  }

  bytes(): number {
    try {
      const match = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync('/proc/self/status', 'utf8'));
      if (match) return Number(match[1]) * 1024;
    } catch {
      // not Linux
    }
    return process.resourceUsage().maxRSS * 1024;
  }
}
