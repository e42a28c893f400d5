import type { Bytes, Seconds } from '../../base/index.js';
import { DEFAULT_LAUNCH_SECONDS, DEFAULT_MEMORY_BANDWIDTH, type Device, type Link } from '../device.js';
import type { Unit, UnitRange } from './layers.js';

/** What a device takes for one of each: the reciprocals of its rates. */
export interface Rates {
  readonly product: Seconds;
  readonly convolution: Seconds;
  readonly byte: Seconds;
  readonly launch: Seconds;
}

export function ratesOf(device: Device): Rates {
  return {
    product: 1 / device.flops,
    convolution: 1 / (device.convolutionFlops ?? device.flops),
    byte: 1 / (device.memoryBandwidthBytesPerSecond ?? DEFAULT_MEMORY_BANDWIDTH),
    launch: device.launchSeconds ?? DEFAULT_LAUNCH_SECONDS,
  };
}

/** Seconds of work on n samples: constant + perSample x n. */
export interface Duration {
  readonly constant: Seconds;
  readonly perSample: Seconds;
}

/** The parts that a schedule tells apart. */
export const PARTS = ['forward', 'backwardInput', 'backwardWeight'] as const;
export type Part = (typeof PARTS)[number];

/**
 * How a stage's backward pass comes by what the forward pass computed: `fused`, both are one program (a plan of one
 * stage); `kept`, it is copied into buffers of its own until then; `recomputed`, it is computed again from what came in.
 */
export type Keeping = 'fused' | 'kept' | 'recomputed';

/** Bytes that are read and written while a kept value leaves the engine: it comes as a copy, and is copied once. */
const KEPT_MOVES = 2;

/**
 * What is computed for a sample, and what is moved and launched for a micro-batch of any size, in the units that a
 * device has rates for.
 */
export interface Effort {
  readonly product: number;
  readonly convolution: number;
  readonly bytes: number;
  readonly fixedBytes: number;
  readonly launches: number;
}

const NO_EFFORT: Effort = { product: 0, convolution: 0, bytes: 0, fixedBytes: 0, launches: 0 };

/** Units, and whether their forward and backward pass are one program, which keeps nothing. */
interface Computed extends UnitRange {
  readonly joined?: boolean;
}

/**
 * The effort of every range of units, whatever the device. Every figure depends on the model alone, so that what a
 * device takes for it falls with each of its rates and grows with none. O(units) to make, O(1) a question.
 */
export class Efforts {
  readonly #parts: Readonly<Record<Part, Sums>>;
  /** All parts together. */
  readonly #whole: Sums;
  /** Of the whole model as one program. */
  readonly #fused: Sums;
  readonly #saved: Float64Array;
  readonly #reread: Float64Array;

  /** @param fused of the whole model as one program; default: what its parts add up to */
  constructor(units: readonly Unit[], fused?: Sums) {
    const sums = (part: Part): Sums => {
      const works = units.map((unit) => unit[part]);
      return {
        product: prefixSums(
          works,
          ({ productFlops, convolutionFlops = 0 }) => productFlops - convolutionFlops,
        ),
        convolution: prefixSums(works, ({ convolutionFlops = 0 }) => convolutionFlops),
        bytes: prefixSums(works, ({ movedBytes }) => movedBytes),
        fixedBytes: prefixSums(works, ({ fixedBytes = 0 }) => fixedBytes),
        launches: prefixSums(works, ({ launches }) => launches),
      };
    };
    this.#parts = {
      forward: sums('forward'),
      backwardInput: sums('backwardInput'),
      backwardWeight: sums('backwardWeight'),
    };
    this.#whole = PARTS.map((part) => this.#parts[part]).reduce(addedSums);
    this.#fused = fused ?? this.#whole;
    this.#saved = prefixSums(units, ({ savedBytesPerSample }) => savedBytesPerSample);
    this.#reread = Float64Array.from(units, ({ rereadBytesPerSample }) => rereadBytesPerSample);
  }

  /** Of one part of a stage. What is kept leaves the forward pass, and what is recomputed precedes the backward pass. */
  of(part: Part, range: Computed, keeping: Keeping): Effort {
    const own = between(this.#parts[part], range);
    if (part === 'forward' && keeping === 'kept' && range.joined !== true)
      return { ...own, bytes: own.bytes + this.#keptBytes(range) };
    if (part !== 'backwardInput' || keeping !== 'recomputed') return own;
    return added(own, between(this.#parts.forward, range));
  }

  /** Of all parts of all the stages that a replica holds. */
  step(ranges: readonly Computed[], keeping: Keeping): Effort {
    let sum = NO_EFFORT;
    for (const range of ranges) {
      const own = between(keeping === 'fused' ? this.#fused : this.#whole, range);
      sum = sum === NO_EFFORT ? own : added(sum, own);
      if (keeping === 'kept' && range.joined !== true)
        sum = { ...sum, bytes: sum.bytes + this.#keptBytes(range) };
      if (keeping === 'recomputed') sum = added(sum, between(this.#parts.forward, range));
    }
    return sum;
  }

  /** Those of units that were found to take more or less, of which the whole as one program takes `fused` times as much. */
  calibrated(units: readonly Unit[], fused: number): Efforts {
    const scale = (sums: Float64Array) => sums.map((value) => value * fused);
    const { product, convolution, bytes, fixedBytes, launches } = this.#fused;
    return new Efforts(units, {
      product: scale(product),
      convolution: scale(convolution),
      bytes: scale(bytes),
      fixedBytes: scale(fixedBytes),
      launches: scale(launches),
    });
  }

  /** What a device of such rates takes for a unit at least, forward and backward, in whichever program it is. */
  least(unit: number, rates: Rates): Duration {
    const range = [{ from: unit, to: unit + 1, joined: true }];
    const [fused, apart] = [this.step(range, 'fused'), this.step(range, 'kept')].map((effort) =>
      secondsFor(effort, rates),
    ) as [Duration, Duration];
    return {
      constant: Math.min(fused.constant, apart.constant),
      perSample: Math.min(fused.perSample, apart.perSample),
    };
  }

  #keptBytes({ from, to }: UnitRange): Bytes {
    return KEPT_MOVES * Math.max(0, this.#saved[to]! - this.#saved[from]! - this.#reread[from]!);
  }
}

/** Products at a device's rate of products, convolutions at theirs, other bytes at its memory's bandwidth, launches. */
export function secondsFor(
  { product, convolution, bytes, fixedBytes, launches }: Effort,
  rates: Rates,
): Duration {
  return {
    perSample: product * rates.product + convolution * rates.convolution + bytes * rates.byte,
    constant: fixedBytes * rates.byte + launches * rates.launch,
  };
}

/** Prefix sums of each figure. */
type Sums = Readonly<Record<keyof Effort, Float64Array>>;

function between(
  { product, convolution, bytes, fixedBytes, launches }: Sums,
  { from, to }: UnitRange,
): Effort {
  return {
    product: product[to]! - product[from]!,
    convolution: convolution[to]! - convolution[from]!,
    bytes: bytes[to]! - bytes[from]!,
    fixedBytes: fixedBytes[to]! - fixedBytes[from]!,
    launches: launches[to]! - launches[from]!,
  };
}

function added(a: Effort, b: Effort): Effort {
  return {
    product: a.product + b.product,
    convolution: a.convolution + b.convolution,
    bytes: a.bytes + b.bytes,
    fixedBytes: a.fixedBytes + b.fixedBytes,
    launches: a.launches + b.launches,
  };
}

function addedSums(a: Sums, b: Sums): Sums {
  const sum = (of: keyof Effort) => a[of].map((value, i) => value + b[of][i]!);
  return {
    product: sum('product'),
    convolution: sum('convolution'),
    bytes: sum('bytes'),
    fixedBytes: sum('fixedBytes'),
    launches: sum('launches'),
  };
}

/** sums[i] is that of the first i values. */
export function prefixSums<T>(values: readonly T[], of: (value: T) => number): Float64Array {
  const sums = new Float64Array(values.length + 1);
  values.forEach((value, i) => (sums[i + 1] = sums[i]! + of(value)));
  return sums;
}

/** What handing a computation to the engine's thread, and taking its results back, costs a rank (bench/pipelines.ts). */
export const HANDOVER_SECONDS: Seconds = 0.0004;

/** What a message costs at its two ends, beside the link: asking, waking, checking (bench/pipelines.ts). */
const MESSAGE_SECONDS: Seconds = 0.0006;

/** How many times an update goes over what it touches: it computes, and copies to where the engine reads. */
export const UPDATE_PASSES = 2;

/** From the moment that a message could leave until its first byte is used. */
export function latencyOf({ latencySeconds }: Link): Seconds {
  return latencySeconds + MESSAGE_SECONDS;
}

/** How long a message of so many bytes keeps a link busy. */
export function wireSeconds({ bandwidthBytesPerSecond }: Link, bytes: Bytes): Seconds {
  return bytes / bandwidthBytesPerSecond;
}

/** What a message of so many bytes takes on the way. */
export function transferSeconds(link: Link, bytes: Bytes): Seconds {
  return latencyOf(link) + wireSeconds(link, bytes);
}

/**
 * Ring all-reduce over N devices: 2(N-1) messages of bytes/N, one after the other, at the pace of the slowest
 * link (Patarasu and Yuan, Bandwidth optimal all-reduce algorithms, 2009).
 */
export function ringSeconds(bytes: Bytes, devices: number, slowest: Link): Seconds {
  return devices < 2 ? 0 : 2 * (devices - 1) * transferSeconds(slowest, bytes / devices);
}
