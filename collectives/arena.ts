import { formatBytes, type Bytes } from '../base/index.js';
import { BudgetError, CollectiveUsageError } from './errors.js';

/** The unit of every allocation: a cache line, and the alignment that SIMD kernels and onnxruntime like best. */
export const ALIGNMENT: Bytes = 64;
/** WebAssembly memory comes in pages of 64 KiB, at most 65536 of them. */
const PAGE: Bytes = 65536;
const MAX_BYTES: Bytes = 65536 * PAGE;
/** Kept free at the start: offset 0 then never names an allocation, and a compiled kernel's static data has room. */
const RESERVED: Bytes = 1024;

/** A named, contiguous, 64-byte aligned part of an arena. */
export interface Allocation {
  readonly name: string;
  /** Where it starts in `arena.memory`, in bytes: what kernels take. */
  readonly byteOffset: number;
  /** As asked for; the arena counts it rounded up to the alignment. */
  readonly byteLength: Bytes;
}

/**
 * A rank's memory for buckets: one WebAssembly memory of a fixed size, so that SIMD kernels work in place.
 *
 * The whole budget is reserved when the arena is made (the system commits a page when it is first written)
 * and never grows, since growing detaches every view: views stay valid for the arena's life. Every byte is
 * accounted for by name. Fresh memory is zero; released memory is handed out again as it is.
 */
export class Arena {
  readonly memory: WebAssembly.Memory;
  readonly budgetBytes: Bytes;
  private readonly live = new Map<number, Allocation>();
  /** Free ranges, half-open, sorted by start, never touching each other. */
  private free: { start: number; end: number }[];

  /**
   * @param budgetBytes what may be allocated, all in all; the memory is that plus 1 KiB, in pages of 64 KiB
   * @throws BudgetError when it is more than WebAssembly's 4 GiB
   */
  constructor(
    budgetBytes: Bytes,
    readonly name = 'arena',
  ) {
    if (!Number.isSafeInteger(budgetBytes) || budgetBytes < 0) {
      throw new CollectiveUsageError(`${name}: a budget of ${budgetBytes} bytes makes no sense`);
    }
    const end = RESERVED + Arena.sizeOf(budgetBytes);
    if (end > MAX_BYTES) {
      throw new BudgetError(
        `${name}: ${formatBytes(budgetBytes)} is more than one WebAssembly memory holds (4 GiB less 1 KiB); ` +
          'give the device a smaller budget or split the model over more devices',
        { arena: name, budgetBytes, limitBytes: MAX_BYTES - RESERVED },
      );
    }
    const pages = Math.ceil(end / PAGE);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    this.budgetBytes = end - RESERVED;
    this.free = end > RESERVED ? [{ start: RESERVED, end }] : [];
  }

  /** What an allocation of `bytes` counts: rounded up to the alignment. For planning a budget. */
  static sizeOf(bytes: Bytes): Bytes {
    return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
  }

  get usedBytes(): Bytes {
    let used = 0;
    for (const { byteLength } of this.live.values()) used += Math.max(ALIGNMENT, Arena.sizeOf(byteLength));
    return used;
  }

  /** Every live allocation, by address: the account of the memory. */
  get allocations(): readonly Allocation[] {
    return [...this.live.values()].sort((a, b) => a.byteOffset - b.byteOffset);
  }

  /**
   * Takes the first free range that is long enough.
   * @param name says what it is for, in reports and errors
   * @throws BudgetError saying how much is short
   */
  allocate(name: string, bytes: Bytes): Allocation {
    if (!Number.isSafeInteger(bytes) || bytes < 0) {
      throw new CollectiveUsageError(`${this.name}: ${name} asks for ${bytes} bytes`);
    }
    // An empty allocation takes a line too, so that addresses stay distinct.
    const size = Math.max(ALIGNMENT, Arena.sizeOf(bytes));
    const at = this.free.findIndex((range) => range.end - range.start >= size);
    const range = this.free[at];
    if (range === undefined) throw this.overBudget(name, size);
    const allocation = { name, byteOffset: range.start, byteLength: bytes };
    range.start += size;
    if (range.start === range.end) this.free.splice(at, 1);
    this.live.set(allocation.byteOffset, allocation);
    return allocation;
  }

  /** Gives an allocation back. Views of it must not be used any more. */
  release(allocation: Allocation): void {
    if (this.live.get(allocation.byteOffset) !== allocation) {
      throw new CollectiveUsageError(
        `${this.name}: ${allocation.name} is not allocated here (released twice?)`,
      );
    }
    this.live.delete(allocation.byteOffset);
    const size = Math.max(ALIGNMENT, Arena.sizeOf(allocation.byteLength));
    const ranges = [...this.free, { start: allocation.byteOffset, end: allocation.byteOffset + size }];
    ranges.sort((a, b) => a.start - b.start);
    this.free = [];
    for (const range of ranges) {
      const last = this.free.at(-1);
      if (last?.end === range.start) last.end = range.end;
      else this.free.push(range);
    }
  }

  /** The allocation as floats, as many as fit. Valid for the arena's life, or until the allocation is released. */
  float32(allocation: Allocation): Float32Array {
    return new Float32Array(this.memory.buffer, allocation.byteOffset, Math.floor(allocation.byteLength / 4));
  }

  bytes(allocation: Allocation): Uint8Array {
    return new Uint8Array(this.memory.buffer, allocation.byteOffset, allocation.byteLength);
  }

  /** Whether a view lies in this arena's memory. */
  owns(view: ArrayBufferView): boolean {
    return view.buffer === this.memory.buffer;
  }

  private overBudget(name: string, size: Bytes): BudgetError {
    const used = this.usedBytes;
    const left = this.budgetBytes - used;
    const short = size - left;
    const what =
      short > 0
        ? `${formatBytes(short)} short: ${formatBytes(used)} of ${formatBytes(this.budgetBytes)} are taken`
        : `${formatBytes(left)} are free, but not in one piece`;
    return new BudgetError(`${this.name}: no room for ${name} (${formatBytes(size)}): ${what}`, {
      arena: this.name,
      allocation: name,
      wantedBytes: size,
      usedBytes: used,
      budgetBytes: this.budgetBytes,
      shortBytes: Math.max(0, short),
    });
  }
}
