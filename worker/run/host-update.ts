import type { MemoryLedger } from '../memory/index.js';
import type { EngineParameters } from './engine-parameters.js';
import { Gradients } from './gradients.js';
import type { RankMemory } from './rank-memory.js';
import type { Update } from './update.js';
import type { Updated, Updating } from './updating.js';

/** Gradients come to the host, are summed over their rings there, and new parameters go to the engine. */
export class HostUpdate implements Updating {
  private readonly gradients: Gradients;
  /** Engine-side buffers of gradients, by user and bucket. They travel to the compute thread and back. */
  private readonly buffers = new Map<string, ArrayBuffer>();

  constructor(
    private readonly memory: RankMemory,
    private readonly parameters: EngineParameters,
    private readonly update: Update,
    private readonly ledger?: MemoryLedger,
  ) {
    this.gradients = new Gradients(memory, (bucket) => update.reduce(bucket));
  }

  begin(contributions: readonly number[]): void {
    this.gradients.begin(contributions);
  }

  target(bucket: number, user: number): ArrayBuffer {
    const key = keyOf(bucket, user);
    let buffer = this.buffers.get(key);
    if (!buffer) {
      const { byteLength } = this.memory.buckets[bucket]!.gradients.values;
      this.ledger?.add('gradients of the engine', byteLength);
      buffer = new ArrayBuffer(byteLength);
      this.buffers.set(key, buffer);
    }
    return buffer;
  }

  returned(bucket: number, user: number, buffer: ArrayBuffer): void {
    this.buffers.set(keyOf(bucket, user), buffer);
    this.gradients.add(bucket, new Float32Array(buffer));
  }

  /** They were added as they came back. */
  add(): Promise<void> {
    return Promise.resolve();
  }

  finish(step: number, loss: number): Promise<Updated> {
    return this.update.finish(step, loss, (bucket) => this.parameters.publish(bucket));
  }

  /** The memory has them already. */
  bringBack(): Promise<void> {
    return Promise.resolve();
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }
}

function keyOf(bucket: number, user: number): string {
  return `${bucket} ${user}`;
}
