import type { ComputeThread, HeldBuffer } from '../engine/index.js';
import { BUFFERS, type BufferName, type StageStep } from './stage-step.js';

/**
 * Buffers of one stage that are not in use, by name, each as large as the largest number of samples needs. Grows to what a
 * schedule needs at once; then nothing is allocated any more.
 */
export class Pools {
  private readonly bytes = new Map<BufferName, number>();
  private readonly free = new Map<BufferName, ArrayBuffer[]>();
  private slots: HeldBuffer[] = [];
  private readonly made: HeldBuffer[] = [];

  /** @param grown told of what is allocated, by buffer; negative where buffers of a lesser size are given up */
  constructor(
    private readonly thread: ComputeThread,
    private readonly grown: (buffer: BufferName, bytes: number) => void = () => undefined,
  ) {}

  /** Buffers are to hold what this step needs. Between steps, when all have been given back. */
  fit(step: StageStep): void {
    for (const name of BUFFERS) {
      const bytes = step.bytesOf(name);
      const old = this.bytes.get(name) ?? 0;
      if (bytes <= old) continue;
      this.grown(name, -old * (name === 'kept' ? this.made.length : (this.free.get(name)?.length ?? 0)));
      this.bytes.set(name, bytes);
      this.free.delete(name);
      if (name === 'kept') this.slots = [...this.made.map((slot) => this.enlarged(slot))];
    }
  }

  /** A buffer to fill, with what its last user left in it. */
  take(name: BufferName): ArrayBuffer {
    const free = this.free.get(name)?.pop();
    if (free) return free;
    const bytes = this.bytes.get(name) ?? 0;
    this.grown(name, bytes);
    return new ArrayBuffer(bytes);
  }

  give(name: BufferName, buffer: ArrayBuffer): void {
    const free = this.free.get(name);
    if (free) free.push(buffer);
    else this.free.set(name, [buffer]);
  }

  /** A place in the compute thread for what one program leaves for the next. */
  takeSlot(): HeldBuffer {
    const free = this.slots.pop();
    if (free !== undefined) return free;
    const key = this.thread.newKey();
    this.made.push(key);
    return this.enlarged(key);
  }

  giveSlot(slot: HeldBuffer): void {
    this.slots.push(slot);
  }

  /** Has the compute thread forget the slots. */
  async dispose(): Promise<void> {
    await this.thread.take(this.made);
  }

  private enlarged(slot: HeldBuffer): HeldBuffer {
    // served before the run that uses it; a thread that is dead fails that run
    const bytes = this.bytes.get('kept') ?? 0;
    this.grown('kept', bytes);
    this.thread.hold(slot, new ArrayBuffer(bytes)).catch(() => undefined);
    return slot;
  }
}
