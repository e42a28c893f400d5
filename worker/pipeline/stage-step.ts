import { InvariantError } from '../../base/index.js';
import { LOSS_SCALE, type Edge, type TensorType, type TypedGraph } from '../../graph/index.js';
import type { Bucket, Compute } from '../../scheduler/index.js';
import type { ComputeThread, ProgramId, Sequence, Slot } from '../engine/index.js';
import { layoutBatch, type BatchLayout } from '../run/batch-layout.js';

/**
 * Buffers of a micro-batch on a stage: `batch` holds what comes from the data and goes out to nobody (inputs, target,
 * masks, the loss, statistics), `kept` what one program leaves for a later one; the others are the stage's edges.
 */
export const BUFFERS = ['batch', 'received', 'sent', 'receivedGradients', 'sentGradients', 'kept'] as const;
export type BufferName = (typeof BUFFERS)[number];
const SENT = ['sent', 'sentGradients'] as const;
export type Sent = (typeof SENT)[number];

/** A program of a stage as it is compiled from. */
export interface PhaseSource {
  readonly kind: Compute;
  /** Absent where there is nothing to compute. */
  readonly graph: TypedGraph | undefined;
}

/** What a stage's programs are compiled from, for a number of samples. */
export interface StageSource {
  /** In the order in which they run. */
  readonly phases: readonly PhaseSource[];
  readonly receives: readonly Edge[];
  readonly sends: readonly Edge[];
  readonly receivesGradients: readonly Edge[];
  readonly sendsGradients: readonly Edge[];
  readonly kept: readonly { readonly value: string; readonly type: TensorType }[];
  /** Values of the batch, with their types. */
  readonly batch: readonly ({ readonly name: string } & TensorType)[];
  /** Gradient value to its parameter. */
  readonly gradients: ReadonlyMap<string, string>;
}

/** A compiled program of a stage. */
export interface Phase {
  readonly kind: Compute;
  readonly sequence: Sequence | undefined;
  /** Buffers of the micro-batch that it takes, in the sequence's order; parameters follow, then gradients. */
  readonly uses: readonly BufferName[];
  /** Those of `sent` and `sentGradients` that it fills. */
  readonly makes: readonly Sent[];
  /** Buckets whose parameters it reads, in the sequence's order. */
  readonly reads: readonly number[];
  /** Buckets of gradients that it writes, likewise. */
  readonly writes: readonly number[];
}

/**
 * The programs of one stage, compiled for one number of samples, on buffers whose layout is fixed.
 */
export class StageStep {
  private constructor(
    readonly samples: number,
    readonly layouts: ReadonlyMap<BufferName, BatchLayout>,
    readonly phases: readonly Phase[],
    private readonly thread: ComputeThread,
    private readonly programs: readonly ProgramId[],
    private readonly unlist: readonly (() => void)[],
  ) {}

  /**
   * @param held buckets of the rank: those that are trained, then those that are not
   * @param list told of each program; what it returns is called when that is disposed of
   * @throws CompileError
   */
  static async compile(
    thread: ComputeThread,
    samples: number,
    source: StageSource,
    held: readonly Bucket[],
    list: (kind: Compute, graph: TypedGraph) => () => void = () => () => undefined,
  ): Promise<StageStep> {
    const layouts = layoutsOf(source);
    const places = new Map(
      held.flatMap(({ places: all }, bucket) =>
        all.map(({ name, offset }) => [name, { bucket, byteOffset: 4 * offset }] as const),
      ),
    );
    const programs: ProgramId[] = [];
    const phases: Phase[] = [];
    try {
      for (const { kind, graph } of source.phases) {
        if (!graph) {
          phases.push({ kind, sequence: undefined, uses: [], makes: [], reads: [], writes: [] });
          continue;
        }
        const compiled = await thread.compile(graph);
        programs.push(compiled.program);
        phases.push(await prepare(thread, kind, compiled, { source, layouts, places, held }));
      }
      const unlist = source.phases.flatMap(({ kind, graph }) => (graph ? [list(kind, graph)] : []));
      return new StageStep(samples, layouts, phases, thread, programs, unlist);
    } catch (error) {
      await Promise.allSettled(programs.map((program) => thread.disposeProgram(program)));
      throw error;
    }
  }

  bytesOf(buffer: BufferName): number {
    return this.layouts.get(buffer)!.bytes;
  }

  /** The last phase that takes a buffer; the first where none does. */
  lastUse(buffer: BufferName): number {
    return Math.max(
      0,
      this.phases.findLastIndex(({ uses }) => uses.includes(buffer)),
    );
  }

  async dispose(): Promise<void> {
    for (const unlist of this.unlist) unlist();
    for (const { sequence } of this.phases) await sequence?.dispose();
    for (const program of this.programs) await this.thread.disposeProgram(program);
  }
}

function layoutsOf(source: StageSource): ReadonlyMap<BufferName, BatchLayout> {
  const edges = (some: readonly Edge[]) => some.map(({ at, type }) => ({ name: at, ...type }));
  const sent = new Set([...source.sends, ...source.sendsGradients].map(({ at }) => at));
  // what is sent and kept lies where it is sent from
  const kept = source.kept.filter(({ value }) => !sent.has(value));
  return new Map([
    ['batch', layoutBatch(source.batch)],
    ['received', layoutBatch(edges(source.receives))],
    ['sent', layoutBatch(edges(source.sends))],
    ['receivedGradients', layoutBatch(edges(source.receivesGradients))],
    ['sentGradients', layoutBatch(edges(source.sendsGradients))],
    ['kept', layoutBatch(kept.map(({ value, type }) => ({ name: value, ...type })))],
  ]);
}

interface Surroundings {
  readonly source: StageSource;
  readonly layouts: ReadonlyMap<BufferName, BatchLayout>;
  readonly places: ReadonlyMap<string, { readonly bucket: number; readonly byteOffset: number }>;
  readonly held: readonly Bucket[];
}

/** Finds a place for every input and output of a program, in as few buffers as hold them. */
async function prepare(
  thread: ComputeThread,
  kind: Compute,
  compiled: Awaited<ReturnType<ComputeThread['compile']>>,
  { source, layouts, places, held }: Surroundings,
): Promise<Phase> {
  const values = [...compiled.inputs, ...compiled.outputs].map(({ name }) => name);
  const bufferOf = (name: string) => BUFFERS.find((buffer) => layouts.get(buffer)!.fields.has(name));
  const uses = BUFFERS.filter((buffer) => values.some((name) => bufferOf(name) === buffer));
  const bucketsOf = (names: readonly string[]) =>
    [...new Set(names.flatMap((name) => places.get(name)?.bucket ?? []))].sort((a, b) => a - b);
  const reads = bucketsOf(
    compiled.inputs.map(({ name }) => name).filter((name) => bufferOf(name) === undefined),
  );
  const writes = bucketsOf(compiled.outputs.flatMap(({ name }) => source.gradients.get(name) ?? []));
  const slotOf = (name: string): Slot => {
    const buffer = bufferOf(name);
    if (buffer !== undefined)
      return { buffer: uses.indexOf(buffer), byteOffset: layouts.get(buffer)!.fields.get(name)!.byteOffset };
    const parameter = source.gradients.get(name);
    const place = places.get(parameter ?? name);
    if (!place) throw new InvariantError(`the stage has no place for "${name}"`);
    const at =
      parameter === undefined ? reads.indexOf(place.bucket) : reads.length + writes.indexOf(place.bucket);
    return { buffer: uses.length + at, byteOffset: place.byteOffset };
  };
  const sequence = await thread.prepare({
    buffers: [
      ...uses.map((buffer) => layouts.get(buffer)!.bytes),
      ...[...reads, ...writes].map((bucket) => 4 * held[bucket]!.length),
    ].map((bytes) => ({ bytes, kind: 'travelling' as const })),
    segments: [
      {
        program: compiled.program,
        inputs: compiled.inputs.map(({ name }) => slotOf(name)),
        outputs: compiled.outputs.map(({ name }) => slotOf(name)),
        release: [],
      },
    ],
  });
  const outputs = compiled.outputs.map(({ name }) => bufferOf(name));
  return { kind, sequence, uses, makes: SENT.filter((name) => outputs.includes(name)), reads, writes };
}

/** The scalar that weights gradients, as a value of a batch. */
export const SCALE = { name: LOSS_SCALE, dtype: 'float32', shape: [] } as const;
