import { InvariantError } from '../../base/index.js';
import type { TensorType, TypedGraph } from '../../graph/index.js';
import type { Bucket, Place } from '../../scheduler/index.js';
import type { ComputeThread, ProgramId, Sequence, Slot } from '../engine/index.js';
import type { MemoryLedger } from '../memory/index.js';
import {
  MOST_SCALARS,
  squaresGraph,
  stateNames,
  sumGraph,
  updateGraph,
  type Settings,
} from '../optimizer/index.js';

/** What an update on the device asks of a compute thread. */
export type UpdateThread = Pick<
  ComputeThread,
  'compile' | 'prepare' | 'newKey' | 'hold' | 'drop' | 'exchange' | 'disposeProgram'
>;

/** An update's programs for one bucket. */
export interface BucketPrograms {
  /** Of buffers: scalars, parameters, gradients, states, new parameters, new states. */
  readonly update: Sequence;
  /** Of buffers: gradients so far, more of them, their sum. Undefined where a step has one contribution. */
  readonly sum: Sequence | undefined;
}

/**
 * The optimizer's update as programs of the engine: one a bucket, so that no more than a bucket is there twice; and one that
 * sums the squares of each bucket's gradients.
 */
export class UpdatePrograms {
  private constructor(
    readonly buckets: readonly BucketPrograms[],
    /** Of buffers: the sums, a float32 a bucket, then all gradients. */
    readonly squares: Sequence,
    readonly stateCount: number,
    private readonly compiled: Compilations,
  ) {}

  /**
   * @param sums whether a step may have several contributions to a bucket
   * @throws CompileError, DeviceMemoryError
   */
  static async compile(
    thread: UpdateThread,
    buckets: readonly Bucket[],
    settings: readonly Settings[],
    sums: boolean,
    ledger?: MemoryLedger,
  ): Promise<UpdatePrograms> {
    const compiled = new Compilations(thread, ledger);
    try {
      const each: BucketPrograms[] = [];
      for (const bucket of buckets) {
        const update = await compileUpdate(compiled, bucket, settings);
        each.push({ update, sum: sums ? await compileSum(compiled, bucket) : undefined });
      }
      const squares = await compileSquares(compiled, buckets);
      const states = stateNames(settings[0]!.rule).length;
      return new UpdatePrograms(each, squares, states, compiled);
    } catch (error) {
      await compiled.dispose().catch(() => undefined); // where the thread is the trouble, this fails as well
      throw error;
    }
  }

  async dispose(): Promise<void> {
    await this.compiled.dispose();
  }
}

type Edges = Awaited<ReturnType<UpdateThread['compile']>>;

/** What was compiled, to be given back. */
class Compilations {
  private readonly programs: ProgramId[] = [];
  private readonly sequences: Sequence[] = [];
  private readonly unlist: (() => void)[] = [];

  constructor(
    private readonly thread: UpdateThread,
    private readonly ledger: MemoryLedger | undefined,
  ) {}

  async compile(graph: TypedGraph): Promise<Edges> {
    const compiled = await this.thread.compile(graph);
    this.programs.push(compiled.program);
    if (this.ledger) this.unlist.push(this.ledger.addProgram('the update', graph));
    return compiled;
  }

  async prepare(
    bytes: readonly number[],
    segments: readonly { readonly program: ProgramId; readonly inputs: Slot[]; readonly outputs: Slot[] }[],
  ): Promise<Sequence> {
    const buffers = bytes.map((each) => ({ bytes: each, kind: 'travelling' as const }));
    const sequence = await this.thread.prepare({
      buffers,
      segments: segments.map((segment) => ({ ...segment, release: [] })),
    });
    this.sequences.push(sequence);
    return sequence;
  }

  async dispose(): Promise<void> {
    for (const unlist of this.unlist.splice(0)) unlist();
    for (const sequence of this.sequences.splice(0)) await sequence.dispose();
    for (const program of this.programs.splice(0)) await this.thread.disposeProgram(program);
  }
}

async function compileUpdate(
  compiled: Compilations,
  bucket: Bucket,
  settings: readonly Settings[],
): Promise<Sequence> {
  const places = placesOf(bucket);
  const rules = settings.map(({ rule }) => rule);
  const { graph, values, scalars } = updateGraph(rules, places);
  const states = stateNames(rules[0]!).length;
  const edges = await compiled.compile(graph);
  const slotOf = (name: string, written: number): Slot => {
    const scalar = scalars.get(name);
    if (scalar) return { buffer: 0, byteOffset: 4 * (MOST_SCALARS * scalar.group + scalar.index) };
    const value = values.get(name);
    if (!value) throw new InvariantError(`the update does not know "${name}"`);
    const { parameter, what } = value;
    const byteOffset = 4 * places[parameter]!.offset;
    if (what === 'gradient') return { buffer: 2, byteOffset };
    if (what === 'parameter') return { buffer: written === 0 ? 1 : written, byteOffset };
    return { buffer: (written === 0 ? 3 : written + 1) + what.state, byteOffset };
  };
  const kept = 2 * (1 + states) + 1;
  return compiled.prepare(
    [scalarBytes(settings), ...Array.from({ length: kept }, () => 4 * bucket.length)],
    [
      {
        program: edges.program,
        inputs: edges.inputs.map(({ name }) => slotOf(name, 0)),
        outputs: edges.outputs.map(({ name }) => slotOf(name, 3 + states)),
      },
    ],
  );
}

async function compileSum(compiled: Compilations, bucket: Bucket): Promise<Sequence> {
  const places = placesOf(bucket);
  const edges = await compiled.compile(sumGraph(places.map(typeOf)));
  const slots = (buffer: number) => places.map(({ offset }): Slot => ({ buffer, byteOffset: 4 * offset }));
  const [sums, more] = [slots(0), slots(1)];
  return compiled.prepare(
    [0, 1, 2].map(() => 4 * bucket.length),
    [
      {
        program: edges.program,
        inputs: sums.flatMap((sum, i) => [sum, more[i]!]),
        outputs: slots(2),
      },
    ],
  );
}

async function compileSquares(compiled: Compilations, buckets: readonly Bucket[]): Promise<Sequence> {
  const segments = [];
  for (const [index, bucket] of buckets.entries()) {
    const places = placesOf(bucket);
    const { program } = await compiled.compile(squaresGraph(places.map(typeOf)));
    segments.push({
      program,
      inputs: places.map(({ offset }): Slot => ({ buffer: 1 + index, byteOffset: 4 * offset })),
      outputs: [{ buffer: 0, byteOffset: 4 * index }],
    });
  }
  return compiled.prepare([4 * buckets.length, ...buckets.map(({ length }) => 4 * length)], segments);
}

/** Bytes of the scalars of all settings. */
export function scalarBytes(settings: readonly Settings[]): number {
  return 4 * MOST_SCALARS * settings.length;
}

/** A parameter without elements has nothing to update. */
function placesOf({ places }: Bucket): readonly Place[] {
  return places.filter(({ size }) => size > 0);
}

function typeOf({ type }: Place): TensorType {
  return type;
}
