import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import type { Bytes } from '../../base/index.js';

type Call = (...values: unknown[]) => unknown;

/** A file's bytes as memory, shared with every process that maps the same file. */
export interface Mapping {
  /** Must not be touched after `unmap`. */
  readonly bytes: Uint8Array;
  unmap(): void;
}

// Linux's <sys/mman.h>.
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MAP_FAILED = 2n ** 64n - 1n;

interface Calls {
  readonly koffi: typeof Koffi;
  readonly mmap: Call;
  readonly munmap: Call;
}

/** The C library's calls, looked up once in a process; null where they cannot be had. */
let calls: Calls | null | undefined;

/**
 * Maps the first `bytes` bytes of an open file, which has to be that long: touching a mapped page that the file
 * system cannot supply ends the process.
 * @returns undefined where this process cannot map memory: another system than 64-bit Linux, or koffi has no
 *   build for it
 */
export function mapFile(file: number, bytes: Bytes): Mapping | undefined {
  if (calls === undefined) calls = loadCalls();
  if (calls === null || bytes === 0) return undefined;
  const { koffi, mmap, munmap } = calls;
  const address = mmap(null, bytes, PROT_READ_WRITE, MAP_SHARED, file, 0);
  if (koffi.address(address) === MAP_FAILED) return undefined;
  return {
    bytes: new Uint8Array(koffi.view(address, bytes)),
    unmap: () => void munmap(address, bytes),
  };
}

function loadCalls(): Calls | null {
  if (process.platform !== 'linux' || !['x64', 'arm64', 'riscv64'].includes(process.arch)) return null;
  try {
    const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi;
    const library = koffi.load(null);
    return {
      koffi,
      mmap: library.func('void *mmap(void *, size_t, int, int, int, int64_t)') as Call,
      munmap: library.func('int munmap(void *, size_t)') as Call,
    };
  } catch {
    return null; // koffi is a convenience: without it the lane is read and written by system calls
  }
}
