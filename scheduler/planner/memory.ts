import type { Bytes } from '../../base/index.js';
import {
  BATCH_BUFFERS,
  CPU_FOOTPRINT,
  CROSSING_COPIES,
  MESSAGE_BYTES,
  STREAM_QUEUE_BYTES,
  type AccountItem,
  type Footprint,
} from '../account.js';
import { at } from '../profile.js';
import { prefixSums, type Keeping } from './cost.js';
import type { LayerProfile, UnitRange } from './layers.js';
import { maximumOf, sparseMaxima } from './maxima.js';

/** What memory depends on beside the layers: the job's optimizer and its data. */
export interface JobBytes {
  /** Optimizer state per byte of a trained parameter: 0 for plain SGD, 1 with momentum, 2 for Adam. */
  readonly stateFactor: number;
  /** Inputs and target of one sample. */
  readonly batchBytesPerSample: Bytes;
  /** Gradients are in buckets of about so many; default: `DEFAULT_BUCKET_BYTES`. */
  readonly bucketBytes?: Bytes;
  /** Whether it is validated: a forward pass alone is another program, with an arena and a batch of its own. */
  readonly validates?: boolean;
  /** What the reader of the data set holds, on the first and on the last stage. */
  readonly datasetBytes: Bytes;
}

/** One stage of a replica. */
export interface HeldStage extends UnitRange {
  /** Micro-batches whose forward pass is done and whose backward pass is not, at most. */
  readonly inFlight: number;
  /** The backward pass is two programs, not one. */
  readonly split?: boolean;
  /** Forward and backward pass are one program: nothing is done between them. */
  readonly joined?: boolean;
}

/** How a replica holds its stages. */
export interface Holding {
  readonly stages: readonly HeldStage[];
  readonly keeping: Keeping;
  /** Replicas of its own stages, itself included: their gradients are summed. */
  readonly replicas: number;
  /** Whether the optimizer state is divided over them. */
  readonly shardOptimizer: boolean;
  /** The most replicas that a stage before or after may have: it has streams to each, both ways. */
  readonly neighbours: number;
}

/** Bytes of a micro-batch's share of n samples: the lesser of two lines, each base + perSample x n from the first on. */
interface Held {
  readonly fixed: Readonly<Record<FixedItem, Bytes>>;
  readonly perSample: Readonly<Record<SampleItem, Bytes>>;
  /** Bytes that are there as soon as there is a sample. */
  readonly base: Readonly<Record<SampleItem, Bytes>>;
  /** Of all streams, the queues; and what they carry of a sample: they hold no more than either. */
  readonly queues: Bytes;
  readonly carried: Bytes;
  /**
   * What the engine's binding copies of a program's outputs and frees after the run: gradients of the parameters, or what is
   * kept of a sample, whichever is more.
   */
  readonly copies: { readonly fixed: Bytes; readonly perSample: Bytes };
}

type FixedItem = 'runtime' | 'parameters' | 'gradients' | 'optimizer state' | 'data set' | 'rings';
type SampleItem =
  'activations' | 'between segments' | 'kept values' | 'received' | 'to be sent' | 'batches' | 'validation';

/** Of a range of units; those beside parameters are a sample's. */
interface RangeBytes {
  readonly parameters: Bytes;
  readonly trained: Bytes;
  readonly tiedOutside: Bytes;
  readonly saved: Bytes;
  readonly between: Bytes;
  readonly forward: Bytes;
  readonly backward: Bytes;
}

/** Messages that are asked for before they are needed. */
const RECEIVED_AHEAD = 2;
/** A value that is sent: the engine's output, and what is on its way. */
const SEND_BUFFERS = 2;
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
  readonly #between: Float64Array;
  readonly #forward: readonly Float64Array[];
  /** Of what crosses the cuts between units. */
  readonly #crossing: readonly Float64Array[];
  readonly #backward: readonly Float64Array[];
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
    this.#between = prefixSums(units, (unit) => unit.betweenBytesPerSample ?? 0);
    this.#forward = sparseMaxima(units.map((unit) => unit.forwardBytesPerSample));
    this.#crossing = sparseMaxima(layers.cuts.map((cut) => cut.activationBytesPerSample));
    this.#backward = sparseMaxima(units.map((unit) => unit.backwardBytesPerSample));
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

  /** Bytes of the largest trained parameter of some ranges. O(units). */
  largestTrained(ranges: readonly UnitRange[]): Bytes {
    let largest = 0;
    for (const { from, to } of ranges)
      for (const { parameters } of this.layers.units.slice(from, to))
        for (const { bytes, trained } of parameters) if (trained) largest = Math.max(largest, bytes);
    return largest;
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
      tiedOutside: this.tiedOutside(range),
      saved: this.#saved[to]! - this.#saved[from]!,
      between: this.#between[to]! - this.#between[from]!,
      forward: maximumOf(this.#forward, from, to),
      backward: maximumOf(this.#backward, from, to),
    };
    this.#figures.set(key, figures);
    return figures;
  }

  #parameter(name: string, units: readonly number[]) {
    return this.layers.units[units[0] ?? -1]?.parameters.find((each) => each.name === name);
  }

  /** What a replica holds, by name, when its share of a micro-batch is `samples`. */
  account(holding: Holding, samples: number, footprint: Footprint = CPU_FOOTPRINT): readonly AccountItem[] {
    const { fixed, base, perSample, queues, carried, copies } = this.#held(holding, footprint);
    const { rings, ...alone } = fixed;
    const items = [
      ...Object.entries(alone).map(([what, bytes]) => ({ what, bytes: Math.ceil(bytes) })),
      ...Object.entries(perSample).map(([what, bytes]) => ({
        what,
        bytes: Math.ceil(at({ base: base[what as SampleItem], perSample: bytes }, samples)),
      })),
      { what: 'copies of outputs', bytes: Math.ceil(Math.max(copies.fixed, copies.perSample * samples)) },
      { what: 'messages', bytes: Math.ceil(rings + Math.min(queues, carried * samples)) },
    ];
    return items.filter(({ bytes }) => bytes > 0);
  }

  /**
   * For each budget the most samples a micro-batch that fit; 0 where none does, Infinity where samples are free.
   * @param footprints of each device; equal ones are the same object
   * @param most is written to
   */
  samplesWithin(
    budgets: Float64Array,
    holding: Holding,
    footprints: readonly Footprint[],
    most: Float64Array,
  ): void {
    let last: Footprint | undefined;
    let [least, each, queues, carried] = [0, 0, 0, 0];
    let copies: Held['copies'] = { fixed: 0, perSample: 0 };
    for (let i = 0; i < budgets.length; i++) {
      if (footprints[i] !== last) {
        last = footprints[i]!;
        const held = this.#held(holding, last);
        ({ queues, carried, copies } = held);
        least = ROUNDED_BYTES + sumOf(held.fixed) + sumOf(held.base);
        each = sumOf(held.perSample);
      }
      const room = budgets[i]! - least;
      // of queues the smaller bound counts, of copies the larger
      const within = (left: Bytes, one: Bytes) =>
        Math.min(samplesIn(left - copies.fixed, one), samplesIn(left, one + copies.perSample));
      most[i] = Math.max(within(room - queues, each), within(room, each + carried));
    }
  }

  /** What a stage that is a program of its own takes at least, however it keeps its values; grows with the stage. */
  atLeast(
    stage: HeldStage,
    shards: number,
    { runtimeBytes, arenaOverhead, valuesOnly }: Footprint,
  ): { readonly fixed: Bytes; readonly perSample: Bytes } {
    const { parameters, trained, saved, forward, backward } = this.#of(stage);
    const kept = Math.max(0, saved - this.layers.units[stage.from]!.rereadBytesPerSample);
    return {
      fixed: valuesOnly
        ? parameters + trained
        : runtimeBytes + 2 * parameters + (3 + this.job.stateFactor / shards) * trained,
      perSample: Math.min(stage.inFlight, arenaOverhead) * kept + arenaOverhead * (forward + backward),
    };
  }

  /** What a forward pass alone holds within the engine: what crosses into a unit and out of it, and what is within. */
  #evaluated({ from, to }: UnitRange, forward: Bytes): Bytes {
    return forward + (to - from > 1 ? 2 * maximumOf(this.#crossing, from, to - 1) : 0);
  }

  #held(
    { stages, keeping, replicas, shardOptimizer, neighbours }: Holding,
    { runtimeBytes, arenaOverhead, valuesOnly }: Footprint,
  ): Held {
    const { cuts, fused } = this.layers;
    const batch = this.job.batchBytesPerSample;
    let [parameters, trained, tied, ends] = [0, 0, 0, 0];
    let validation = 0;
    let [engine, kept, copied, received, sent, batches, carried, sides] = [0, 0, 0, 0, 0, 0, 0, 0];
    for (const range of stages) {
      const { from, to, inFlight, joined = false } = range;
      // the first stage has no gradient to send: its backward pass is one program in any case
      const split = (range.split ?? false) && from > 0;
      const figures = this.#of(range);
      const [left, right] = [cuts[from - 1], cuts[to - 1]];
      parameters += figures.parameters;
      trained += figures.trained;
      tied += figures.tiedOutside;
      if (!left || !right) ends++;
      validation += arenaOverhead * this.#evaluated(range, figures.forward);
      validation += (left?.activationBytesPerSample ?? 0) + (right?.activationBytesPerSample ?? 0);
      if (!left || !right) validation += batch;
      if (keeping === 'fused') continue;
      const arrives = left?.activationBytesPerSample ?? 0;
      const comesBack = right?.gradientBytesPerSample ?? 0;
      received += (inFlight + RECEIVED_AHEAD) * arrives + (1 + RECEIVED_AHEAD) * comesBack;
      sent += SEND_BUFFERS * ((right?.activationBytesPerSample ?? 0) + (left?.gradientBytesPerSample ?? 0));
      if (!left || !right) batches += (inFlight + BATCH_BUFFERS - 1) * batch;
      // what came in is kept whether or not the backward pass reads it: it is counted there
      const again = this.layers.units[from]!.rereadBytesPerSample;
      const saved = Math.max(0, figures.saved - again);
      if (joined) engine += saved + Math.max(figures.forward, figures.backward);
      else {
        if (keeping === 'kept') {
          kept += inFlight * (saved + (split ? figures.between : 0));
          copied = Math.max(copied, saved);
        }
        // computing again ends with everything there at once, for one micro-batch
        const backward = figures.backward + (keeping === 'recomputed' ? saved : 0);
        engine += figures.forward + (split ? 2 : 1) * backward;
      }
      for (const cut of [left, right]) {
        if (cut) carried += cut.activationBytesPerSample + cut.gradientBytesPerSample;
        if (cut) sides++;
      }
    }
    const whole = keeping === 'fused';
    // the host's copy and the engine's; on a device with memory of its own the engine's alone
    const [held, hosted] = valuesOnly ? [1, 0] : [2, 1];
    return {
      fixed: {
        runtime: runtimeBytes,
        parameters: held * parameters,
        gradients: held * trained,
        'optimizer state': (hosted * this.job.stateFactor * trained) / (shardOptimizer ? replicas : 1),
        'data set': ends > 0 ? hosted * this.job.datasetBytes : 0,
        // what a ring has on its way is at most what it moves, there and back
        rings:
          hosted *
          (Math.min(MESSAGE_BYTES, replicas > 1 ? 2 * trained : 0) + Math.min(MESSAGE_BYTES, 2 * tied)),
      },
      base: {
        ...NOTHING,
        activations: whole ? arenaOverhead * fused.activationBytes.base : 0,
        'between segments': whole ? CROSSING_COPIES * fused.crossingBytes.base : 0,
      },
      perSample: {
        activations: arenaOverhead * (whole ? fused.activationBytes.perSample : engine),
        'between segments': whole ? CROSSING_COPIES * fused.crossingBytes.perSample : 0,
        'kept values': kept,
        received,
        'to be sent': sent,
        batches: whole ? BATCH_BUFFERS * batch : batches,
        validation: this.job.validates ? validation : 0,
      },
      // however many stages a rank has, there are ranks before it and ranks after it
      queues: hosted * 2 * Math.min(2, sides) * neighbours * STREAM_QUEUE_BYTES,
      carried: hosted * carried,
      copies: { fixed: hosted * trained, perSample: hosted * copied },
    };
  }
}

const NOTHING: Readonly<Record<SampleItem, Bytes>> = {
  activations: 0,
  'between segments': 0,
  'kept values': 0,
  received: 0,
  'to be sent': 0,
  batches: 0,
  validation: 0,
};

function sumOf(items: Readonly<Record<string, Bytes>>): Bytes {
  let sum = 0;
  for (const what in items) sum += items[what]!;
  return sum;
}

function samplesIn(room: Bytes, each: Bytes): number {
  if (room < 0) return 0;
  return each === 0 ? Infinity : Math.floor(room / each);
}

function within({ from, to }: UnitRange, unit: number): boolean {
  return unit >= from && unit < to;
}
