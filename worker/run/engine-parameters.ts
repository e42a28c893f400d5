import type { ComputeThread, HeldBuffer } from '../engine/index.js';
import type { MemoryLedger } from '../memory/index.js';
import type { RankMemory } from './rank-memory.js';

/** The parameters as the engine computes with them: buffers that the compute thread keeps, by bucket, fixed ones last. */
export class EngineParameters {
  /** In the order of the buckets; those of parameters that are not trained last. */
  readonly keys: readonly HeldBuffer[];
  /** Those of them that are trained. */
  readonly trained: readonly HeldBuffer[];
  private readonly publishing = new Set<Promise<void>>();

  private constructor(
    private readonly thread: ComputeThread,
    private readonly memory: RankMemory,
    fixed: number,
  ) {
    this.keys = Array.from({ length: memory.buckets.length + fixed }, () => thread.newKey());
    this.trained = this.keys.slice(0, memory.buckets.length);
  }

  /** @param fixed values that are not trained: handed over */
  static async place(
    thread: ComputeThread,
    memory: RankMemory,
    fixed: readonly ArrayBuffer[],
    ledger?: MemoryLedger,
  ): Promise<EngineParameters> {
    const placed = new EngineParameters(thread, memory, fixed.length);
    const { keys } = placed;
    for (const { parameters } of memory.buckets)
      ledger?.add('parameters of the engine', parameters.values.byteLength);
    for (const { byteLength } of fixed) ledger?.add('frozen parameters of the engine', byteLength);
    await Promise.all([
      ...memory.buckets.map(({ parameters }, i) =>
        thread.hold(keys[i]!, Float32Array.from(parameters.values).buffer),
      ),
      ...fixed.map((buffer, i) => thread.hold(keys[memory.buckets.length + i]!, buffer)),
    ]);
    return placed;
  }

  /** Brings in a bucket's parameters as the memory has them when the engine has done what it was asked before. */
  async publish(bucket: number): Promise<void> {
    const published = this.replace(bucket);
    this.publishing.add(published);
    await published.finally(() => this.publishing.delete(published));
  }

  /** Copies what is trained into the memory, as the engine has it when it has done what it was asked before. */
  async bringBack(): Promise<void> {
    const buffers = await this.thread.take(this.trained);
    buffers.forEach((buffer, bucket) =>
      this.memory.buckets[bucket]!.parameters.values.set(new Float32Array(buffer)),
    );
    await Promise.all(buffers.map((buffer, bucket) => this.thread.hold(this.trained[bucket]!, buffer)));
  }

  private async replace(bucket: number): Promise<void> {
    const key = this.keys[bucket]!;
    const [buffer] = await this.thread.take([key]);
    new Float32Array(buffer!).set(this.memory.buckets[bucket]!.parameters.values);
    await this.thread.hold(key, buffer!);
  }

  /** Has the thread forget them; also in the middle of a step that failed. */
  async dispose(): Promise<void> {
    await Promise.allSettled(this.publishing);
    await this.thread.take(this.keys);
  }
}
