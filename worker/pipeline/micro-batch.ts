import type { HeldBuffer } from '../engine/index.js';
import type { Pools } from './pools.js';
import type { CompiledStage } from './compiled-stage.js';
import type { BufferName } from './stage-step.js';

/**
 * The buffers of one micro-batch on one stage, from its forward pass to the end of its backward pass. Each goes back to
 * its pool when the last program that takes it has run and nobody sends from it any more.
 */
export class MicroBatch {
  private readonly buffers = new Map<BufferName, ArrayBuffer>();
  private slot: HeldBuffer | undefined;
  private readonly leaving = new Map<BufferName, Promise<void>>();
  private readonly busy = new Map<BufferName, number>();
  /** Phases that have run. */
  private done = 0;
  /** Settles when the phase that was started last is over, and all buffers are back. */
  settled: Promise<void> = Promise.resolve();

  constructor(
    readonly compiled: CompiledStage,
    private readonly pools: Pools,
  ) {}

  /** The buffer of a name: the one that is there, or one from the pool. */
  get(name: BufferName): ArrayBuffer {
    let buffer = this.buffers.get(name);
    if (!buffer) {
      buffer = this.pools.take(name);
      this.buffers.set(name, buffer);
    }
    return buffer;
  }

  put(name: BufferName, buffer: ArrayBuffer): void {
    this.buffers.set(name, buffer);
  }

  /** The buffers of a phase, as its sequence takes them. */
  forPhase(uses: readonly BufferName[]): (ArrayBuffer | HeldBuffer)[] {
    return uses.map((name) => (name === 'kept' ? (this.slot ??= this.pools.takeSlot()) : this.get(name)));
  }

  /** Somebody sends from a buffer until the promise settles; see `ready`. */
  sending(name: BufferName, sent: Promise<void>): void {
    this.leaving.set(name, sent);
  }

  /** Resolves when the last phase is over and nothing is sent any more from the buffers that the next one takes. */
  async ready(uses: readonly BufferName[]): Promise<void> {
    await this.settled;
    for (const name of uses) await this.leaving.get(name);
  }

  /** Somebody reads a buffer from now on, until `release`. */
  hold(name: BufferName): void {
    this.busy.set(name, (this.busy.get(name) ?? 0) + 1);
  }

  release(name: BufferName): void {
    this.busy.set(name, this.busy.get(name)! - 1);
    this.recycle(name);
  }

  /** Another phase is over. */
  advance(): void {
    this.done++;
    for (const name of [...this.buffers.keys()]) this.recycle(name);
    if (this.slot === undefined || this.done <= this.compiled.step.lastUse('kept')) return;
    this.pools.giveSlot(this.slot);
    this.slot = undefined;
  }

  private recycle(name: BufferName): void {
    const buffer = this.buffers.get(name);
    const needed = this.done <= this.compiled.step.lastUse(name) || (this.busy.get(name) ?? 0) > 0;
    if (!buffer || needed) return;
    this.buffers.delete(name);
    this.pools.give(name, buffer);
  }
}
