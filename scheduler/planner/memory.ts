import type { Bytes } from '../../base/index.js';
import { ARENA_OVERHEAD, MESSAGE_BYTES, RUNTIME_BYTES, type AccountItem } from '../account.js';
import { prefixSums } from './cost.js';
import type { LayerProfile, UnitRange } from './layers.js';

/** What memory depends on beside the layers: the job's optimizer and its data. */
export interface JobBytes {
  /** Optimizer state per byte of a trained parameter: 0 for plain SGD, 1 with momentum, 2 for Adam. */
  readonly stateFactor: number;
  /** Inputs and target of one sample. */
  readonly batchBytesPerSample: Bytes;
  /** What the reader of the data set holds, on the first and on the last stage. */
  readonly datasetBytes: Bytes;
}

/** One stage of a replica. */
export interface HeldStage extends UnitRange {
  /** Micro-batches whose forward pass is done and whose backward pass is not, at most. */
  readonly inFlight: number;
}

/** How a replica holds its stages. */
export interface Holding {
  readonly stages: readonly HeldStage[];
  readonly recompute: boolean;
  /** Gradients of several micro-batches are added up. */
  readonly accumulates: boolean;
  /** Replicas that the optimizer state is divided over; 1 where it is not. */
  readonly shards: number;
  /** Somebody else takes part in the job. */
  readonly communicates: boolean;
}

/** Of a range of units; the last two a sample. */
interface RangeBytes {
  readonly parameters: Bytes;
  readonly trained: Bytes;
  readonly saved: Bytes;
  readonly work: Bytes;
}

/** An edge's value is held where it arrives or leaves and while the next one is on its way. */
const EDGE_BUFFERS = 2;
/** The micro-batch that is computed, and the one that is read meanwhile. */
const BATCH_BUFFERS = 2;
/** Every item of an account is rounded up: at most a byte each. */
export const ROUNDED_BYTES = 16;

/**
 * What ranges of units take in memory, from prefix sums: O(units log units) to make. The first question about
 * a range takes O(tied parameters), any other O(1) a stage.
 */
export class UnitBytes {
  readonly #parameters: Float64Array;
  readonly #trained: Float64Array;
  readonly #saved: Float64Array;
  readonly #work: readonly Float64Array[];
  readonly #figures = new Map<number, RangeBytes>();

  constructor(
    readonly layers: LayerProfile,
    readonly job: JobBytes,
  ) {
    const { units } = layers;
    this.#parameters = prefixSums(units, (unit) =>
      unit.parameters.reduce((sum, { bytes }) => sum + bytes, 0),
    );
    this.#trained = prefixSums(units, (unit) =>
      unit.parameters.reduce((sum, { bytes, trained }) => sum + (trained ? bytes : 0), 0),
    );
    this.#saved = prefixSums(units, (unit) => unit.savedBytesPerSample);
    this.#work = sparseMaxima(units.map((unit) => unit.workBytesPerSample));
  }

  /** Bytes of the parameters of a range: a tied one that it uses twice is there once. */
  parameters(range: UnitRange, trainedOnly: boolean): Bytes {
    const sums = trainedOnly ? this.#trained : this.#parameters;
    let bytes = sums[range.to]! - sums[range.from]!;
    for (const { parameter, units } of this.layers.tied) {
      const uses = units.filter((unit) => within(range, unit));
      const tied = this.#parameter(parameter, units);
      if (uses.length > 1 && tied && (tied.trained || !trainedOnly)) bytes -= (uses.length - 1) * tied.bytes;
    }
    return bytes;
  }

  /** Bytes of trained parameters that are also used outside a range, and by whom: none where the range is all. */
  tiedOutside(range: UnitRange): Bytes {
    let bytes = 0;
    for (const { parameter, units } of this.layers.tied) {
      const inside = units.filter((unit) => within(range, unit)).length;
      const tied = this.#parameter(parameter, units);
      if (inside > 0 && inside < units.length && tied?.trained) bytes += tied.bytes;
    }
    return bytes;
  }

  #of(range: UnitRange): RangeBytes {
    const { from, to } = range;
    const key = from * (this.layers.units.length + 1) + to;
    const known = this.#figures.get(key);
    if (known) return known;
    const figures = {
      parameters: this.parameters(range, false),
      trained: this.parameters(range, true),
      saved: this.#saved[to]! - this.#saved[from]!,
      work: maximumOf(this.#work, from, to),
    };
    this.#figures.set(key, figures);
    return figures;
  }

  #parameter(name: string, units: readonly number[]) {
    return this.layers.units[units[0] ?? -1]?.parameters.find((each) => each.name === name);
  }

  /** What a replica holds, by name, when its share of a micro-batch is `samples`. */
  account(holding: Holding, samples: number): readonly AccountItem[] {
    const { fixed, perSample } = this.#held(holding);
    const items = [
      ...Object.entries(fixed).map(([what, bytes]) => ({ what, bytes: Math.ceil(bytes) })),
      ...Object.entries(perSample).map(([what, bytes]) => ({ what, bytes: Math.ceil(bytes * samples) })),
    ];
    return items.filter(({ bytes }) => bytes > 0);
  }

  /** The most samples a micro-batch that fit; 0 where none does, Infinity where samples are free. */
  samplesWithin(budget: Bytes, holding: Holding): number {
    const { fixed, perSample } = this.#held(holding);
    const room =
      budget -
      ROUNDED_BYTES -
      fixed.runtime -
      fixed.parameters -
      fixed.gradients -
      fixed['gradients of one micro-batch'] -
      fixed['optimizer state'] -
      fixed['data set'] -
      fixed.messages;
    if (room < 0) return 0;
    const each = perSample['saved activations'] + perSample.work + perSample.edges + perSample.batches;
    return each === 0 ? Infinity : Math.floor(room / each);
  }

  /** Bytes = fixed + perSample x samples, by name. */
  #held({ stages, recompute, accumulates, shards, communicates }: Holding) {
    const { cuts } = this.layers;
    let parameters = 0;
    let trained = 0;
    let saved = 0;
    let work = 0;
    let edges = 0;
    let ends = 0;
    for (const range of stages) {
      const { from, to, inFlight } = range;
      const figures = this.#of(range);
      const [left, right] = [cuts[from - 1], cuts[to - 1]];
      parameters += figures.parameters;
      trained += figures.trained;
      // computing again begins with what came in, and ends with everything there at once, for one micro-batch
      const kept = recompute
        ? (left?.activationBytesPerSample ?? this.job.batchBytesPerSample)
        : figures.saved;
      saved += inFlight * kept;
      work = Math.max(work, figures.work + (recompute ? figures.saved : 0));
      if (left) edges += EDGE_BUFFERS * (left.activationBytesPerSample + left.gradientBytesPerSample);
      if (right) edges += EDGE_BUFFERS * (right.activationBytesPerSample + right.gradientBytesPerSample);
      if (!left || !right) ends++;
    }
    return {
      fixed: {
        runtime: RUNTIME_BYTES,
        parameters: 2 * parameters,
        gradients: 2 * trained,
        'gradients of one micro-batch': accumulates ? trained : 0,
        'optimizer state': (this.job.stateFactor * trained) / shards,
        'data set': ends > 0 ? this.job.datasetBytes : 0,
        messages: communicates ? MESSAGE_BYTES : 0,
      },
      perSample: {
        'saved activations': saved,
        work: ARENA_OVERHEAD * work,
        edges,
        batches: ends > 0 ? BATCH_BUFFERS * this.job.batchBytesPerSample : 0,
      },
    };
  }
}

function within({ from, to }: UnitRange, unit: number): boolean {
  return unit >= from && unit < to;
}

/** table[k][i] is the largest of values [i, i + 2^k). O(n log n). */
function sparseMaxima(values: readonly number[]): readonly Float64Array[] {
  const table = [Float64Array.from(values)];
  for (let width = 1; 2 * width <= values.length; width *= 2) {
    const last = table.at(-1)!;
    const next = new Float64Array(values.length - 2 * width + 1);
    for (let i = 0; i < next.length; i++) next[i] = Math.max(last[i]!, last[i + width]!);
    table.push(next);
  }
  return table;
}

function maximumOf(table: readonly Float64Array[], from: number, to: number): number {
  const level = 31 - Math.clz32(to - from);
  const row = table[level]!;
  return Math.max(row[from]!, row[to - (1 << level)]!);
}
