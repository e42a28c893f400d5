import type { TensorType, TypedGraph } from '../../graph/index.js';
import type { ComputeThread, ProgramId, SegmentPlan, Sequence, Slot } from '../engine/index.js';
import type { MemoryLedger } from '../memory/index.js';
import { layoutBatch, type BatchLayout } from './batch-layout.js';
import { ALIGNMENT_BYTES, type Bucket } from '../../scheduler/index.js';
import { InvariantError } from '../../base/index.js';
import { byteLengthOf } from '../../graph/index.js';

/** What a step is compiled from: graphs that run one after the other, and what their values are. */
export interface StepSource {
  readonly segments: readonly TypedGraph[];
  /** Types of all values named here and of those that cross from segment to segment. */
  readonly types: ReadonlyMap<string, TensorType>;
  /** Values that come in with a batch or go out with its result: inputs, target, masks, the loss. */
  readonly travelling: readonly string[];
  /** Gradient value to the parameter it belongs to; empty for a forward pass. */
  readonly gradients: ReadonlyMap<string, string>;
}

/**
 * A compiled step for one number of samples, on buffers whose layout is fixed: buffer 0 is the batch, then one
 * for each bucket's parameters, one for each bucket of parameters that are not trained, and one for each bucket's
 * gradients; what one segment leaves for a later one stays with the compute thread.
 */
export class StepProgram {
  private constructor(
    readonly samples: number,
    readonly batch: BatchLayout,
    readonly sequence: Sequence,
    private readonly thread: ComputeThread,
    private readonly programs: readonly ProgramId[],
    /** Buffers of parameters, trained or not. */
    readonly parameterBuffers: number,
    private readonly unlist: readonly (() => void)[],
  ) {}

  /** Index of a bucket's parameters among the sequence's buffers. */
  parameterBuffer(bucket: number): number {
    return 1 + bucket;
  }

  gradientBuffer(bucket: number): number {
    return 1 + this.parameterBuffers + bucket;
  }

  /** @throws CompileError when the engine cannot run a segment */
  static async compile(
    thread: ComputeThread,
    samples: number,
    source: StepSource,
    buckets: readonly Bucket[],
    fixed: readonly Bucket[],
    ledger?: MemoryLedger,
  ): Promise<StepProgram> {
    const typeOf = (name: string) => {
      const type = source.types.get(name);
      if (!type) throw new InvariantError(`the step does not know "${name}"`);
      return { name, ...type };
    };
    const batch = layoutBatch(source.travelling.map(typeOf));
    const held = [...buckets, ...fixed];
    const places = new Map<string, Slot>(
      held.flatMap((bucket, index) =>
        bucket.places.map(({ name, offset }) => [name, { buffer: 1 + index, byteOffset: 4 * offset }]),
      ),
    );
    const withGradients = source.gradients.size > 0;
    const resident = new Residents(1 + held.length + (withGradients ? buckets.length : 0));
    const slotOf = (name: string): Slot => {
      const field = batch.fields.get(name);
      if (field) return { buffer: 0, byteOffset: field.byteOffset };
      const parameter = source.gradients.get(name);
      if (parameter !== undefined) {
        const place = places.get(parameter);
        if (!place) throw new InvariantError(`parameter "${parameter}" has no place in a bucket`);
        return { ...place, buffer: place.buffer + held.length };
      }
      const place = places.get(name);
      return place ?? resident.slot(name, byteLengthOf(typeOf(name)));
    };
    const programs: ProgramId[] = [];
    const segments: SegmentPlan[] = [];
    const travelling = (bytes: number) => ({ bytes, kind: 'travelling' as const });
    const bufferOf = (bucket: Bucket) => travelling(4 * bucket.length);
    try {
      for (const [index, segment] of source.segments.entries()) {
        const compiled = await thread.compile(segment);
        programs.push(compiled.program);
        segments.push({
          program: compiled.program,
          inputs: compiled.inputs.map(({ name }) => slotOf(name)),
          outputs: compiled.outputs.map(({ name }) => slotOf(name)),
          // segment i completes the gradients of bucket i
          release: withGradients && index < buckets.length ? [1 + held.length + index] : [],
        });
      }
      const sequence = await thread.prepare({
        buffers: [
          travelling(batch.bytes),
          ...held.map(bufferOf),
          ...(withGradients ? buckets.map(bufferOf) : []),
          ...resident.sizes.map((bytes) => ({ bytes, kind: 'resident' as const })),
        ],
        segments,
      });
      const name = `${withGradients ? 'training' : 'validation'} with ${samples} samples`;
      const unlist = ledger ? source.segments.map((segment) => ledger.addProgram(name, segment)) : [];
      return new StepProgram(samples, batch, sequence, thread, programs, held.length, unlist);
    } catch (error) {
      // what was compiled would stay with the thread; where the thread is the trouble, this fails as well
      await Promise.allSettled(programs.map((program) => thread.disposeProgram(program)));
      throw error;
    }
  }

  async dispose(): Promise<void> {
    for (const unlist of this.unlist) unlist();
    await this.sequence.dispose();
    for (const program of this.programs) await this.thread.disposeProgram(program);
  }
}

/** Buffers for the values that cross from one segment to a later one, one each. */
class Residents {
  readonly sizes: number[] = [];
  private readonly slots = new Map<string, Slot>();

  constructor(private readonly first: number) {}

  slot(name: string, bytes: number): Slot {
    let slot = this.slots.get(name);
    if (!slot) {
      slot = { buffer: this.first + this.sizes.length, byteOffset: 0 };
      this.slots.set(name, slot);
      this.sizes.push(Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES);
    }
    return slot;
  }
}
