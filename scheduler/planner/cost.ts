import type { Bytes, Seconds } from '../../base/index.js';
import { DEFAULT_LAUNCH_SECONDS, DEFAULT_MEMORY_BANDWIDTH, type Device, type Link } from '../device.js';
import type { Unit, UnitRange, Work } from './layers.js';

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
 * What every range of units takes on one kind of device: products at its rate of products, convolutions at theirs,
 * other bytes at its memory's bandwidth, and each launch. Every term falls with a rate of the device and
 * none grows with one. O(units) to make, O(1) a question.
 */
export class UnitSeconds {
  readonly #perSample: Readonly<Record<Part, Float64Array>>;
  readonly #constant: Readonly<Record<Part, Float64Array>>;
  /** All parts together. */
  readonly #wholePerSample: Float64Array;
  readonly #wholeConstant: Float64Array;

  constructor(units: readonly Unit[], rates: Rates) {
    const sums = (of: (work: Work) => number) =>
      Object.fromEntries(
        PARTS.map((part) => [
          part,
          prefixSums(
            units.map((unit) => unit[part]),
            of,
          ),
        ]),
      ) as Record<Part, Float64Array>;
    this.#perSample = sums(({ productFlops, convolutionFlops = 0, movedBytes }) => {
      const products = (productFlops - convolutionFlops) * rates.product;
      return products + convolutionFlops * rates.convolution + movedBytes * rates.byte;
    });
    this.#constant = sums(({ launches }) => launches * rates.launch);
    const added = ({ forward, backwardInput, backwardWeight }: Record<Part, Float64Array>) =>
      forward.map((seconds, i) => seconds + backwardInput[i]! + backwardWeight[i]!);
    this.#wholePerSample = added(this.#perSample);
    this.#wholeConstant = added(this.#constant);
  }

  of(part: Part, { from, to }: UnitRange): Duration {
    const [perSample, constant] = [this.#perSample[part], this.#constant[part]];
    return { perSample: perSample[to]! - perSample[from]!, constant: constant[to]! - constant[from]! };
  }

  /** Forward and backward; with `recompute` the forward pass twice. */
  step(ranges: readonly UnitRange[], recompute: boolean): Duration {
    let constant = 0;
    let perSample = 0;
    for (const { from, to } of ranges) {
      constant += this.#wholeConstant[to]! - this.#wholeConstant[from]!;
      perSample += this.#wholePerSample[to]! - this.#wholePerSample[from]!;
      if (!recompute) continue;
      constant += this.#constant.forward[to]! - this.#constant.forward[from]!;
      perSample += this.#perSample.forward[to]! - this.#perSample.forward[from]!;
    }
    return { constant, perSample };
  }
}

/** sums[i] is that of the first i values. */
export function prefixSums<T>(values: readonly T[], of: (value: T) => number): Float64Array {
  const sums = new Float64Array(values.length + 1);
  values.forEach((value, i) => (sums[i + 1] = sums[i]! + of(value)));
  return sums;
}

/** What a message of so many bytes takes on the way. */
export function transferSeconds({ latencySeconds, bandwidthBytesPerSecond }: Link, bytes: Bytes): Seconds {
  return latencySeconds + bytes / bandwidthBytesPerSecond;
}

/**
 * Ring all-reduce over N devices: 2(N-1) messages of bytes/N, one after the other, at the pace of the slowest
 * link (Patarasu and Yuan, Bandwidth optimal all-reduce algorithms, 2009).
 */
export function ringSeconds(bytes: Bytes, devices: number, slowest: Link): Seconds {
  return devices < 2 ? 0 : 2 * (devices - 1) * transferSeconds(slowest, bytes / devices);
}
