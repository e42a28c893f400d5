import type { Bytes, Seconds } from '../../base/index.js';
import type { Device, Link, Topology } from '../device.js';
import type { StageCosts } from '../pipeline/index.js';
import { splitShares } from '../shares.js';
import { balance, type Balance, type Lane } from './balance.js';
import { PARTS, prefixSums, ratesOf, ringSeconds, transferSeconds, UnitSeconds, type Rates } from './cost.js';
import type { LayerProfile } from './layers.js';
import { UnitBytes, type HeldStage, type JobBytes } from './memory.js';
import { Network } from './network.js';

/** Devices that would be the replicas of a stage, equal ones together. */
export interface Group {
  readonly index: number;
  readonly devices: readonly Device[];
  readonly lanes: readonly GroupLane[];
  readonly size: number;
  /** The worst of the links between its devices. */
  readonly link: Link;
  /** How many times as fast as the reference its devices are together, at most, whatever they compute. */
  readonly speed: number;
}

interface GroupLane {
  readonly devices: readonly Device[];
  readonly memory: Bytes;
  readonly rates: Rates;
  readonly units: UnitSeconds;
}

/** The seconds of a kind of device, and its speed beside the reference. */
interface DeviceClass {
  readonly units: UnitSeconds;
  readonly speed: number;
}

/** How the samples of a step are cut, and what else is the same for all stages. */
export interface Slicing {
  readonly microBatches: number;
  /** Samples of the largest micro-batch. */
  readonly samples: number;
  readonly shardOptimizer: boolean;
}

/** What the job forces on every stage. */
export interface StageOptions {
  readonly recompute?: boolean | undefined;
  readonly shares?: readonly number[] | undefined;
}

/** A stage (or the several that a pipeline rank holds) as a group of devices would compute it. */
export interface Choice {
  readonly group: Group;
  readonly stages: readonly HeldStage[];
  readonly recompute: boolean;
  /** Samples of the largest micro-batch for each lane of the group. */
  readonly shares: Balance['shares'];
  /** Memory keeps some device from taking more: recomputing may then be faster. */
  readonly limited: boolean;
  /** Forward and backward of the largest micro-batch, until the last replica is done. */
  readonly seconds: Seconds;
  /** After the last micro-batch: gradients meet, parameters are updated. */
  readonly after: Seconds;
}

/**
 * Replicas wait for each other once a micro-batch, so their sum counts; how it divides into forward and backward is
 * taken from the rates of this device, the same for all clusters: a share that moved from one device to
 * another then never makes one of the parts longer while the sum gets shorter.
 */
const REFERENCE: Rates = { product: 1e-11, convolution: 1e-11, byte: 1e-10, launch: 5e-6 };

/** What stages of one model take on groups of devices. All answers fall with speed and memory, none grows. */
export class StageModel {
  readonly bytes: UnitBytes;
  readonly #classes = new Map<string, DeviceClass>();
  readonly #reference: UnitSeconds;
  /** Of the first units, on the reference, a sample. */
  readonly #prices: Float64Array;
  readonly #network: Network;
  readonly #worst: Link;

  constructor(
    readonly layers: LayerProfile,
    readonly job: JobBytes,
    topology: Topology,
    devices: readonly Device[],
  ) {
    this.bytes = new UnitBytes(layers, job);
    this.#reference = new UnitSeconds(layers.units, REFERENCE);
    const all = layers.units.map(
      (_, from) => this.#reference.step([{ from, to: from + 1 }], false).perSample,
    );
    this.#prices = prefixSums(all, (seconds) => seconds);
    this.#network = new Network(topology);
    this.#worst = this.#network.among(devices);
  }

  /**
   * O(devices + named links).
   * @param separate keeps equal devices apart, for shares that are given one by one
   */
  group(index: number, devices: readonly Device[], separate = false): Group {
    const byClass = new Map<string, Device[]>();
    for (const device of devices) {
      const key = `${classOf(device)}|${device.memoryBytes}${separate ? device.id : ''}`;
      const known = byClass.get(key);
      if (known) known.push(device);
      else byClass.set(key, [device]);
    }
    const lanes = [...byClass.values()].map((equal): GroupLane => {
      const rates = ratesOf(equal[0]!);
      const { units } = this.#classOf(equal[0]!);
      return { devices: equal, memory: equal[0]!.memoryBytes, rates, units };
    });
    const link = this.#network.among(devices);
    return { index, devices, lanes, size: devices.length, link, speed: this.speedOf(devices) };
  }

  /** How many times as fast as the reference devices are together, at most, whatever they compute. */
  speedOf(devices: readonly Device[]): number {
    return devices.reduce((sum, device) => sum + this.#classOf(device).speed, 0);
  }

  /**
   * Seconds below which devices of a speed together do not compute units [from, to) for so many samples, however they
   * share them (the duality of `lowerBound`, with the reference's seconds as prices). O(1).
   */
  leastSeconds(from: number, to: number, samples: number, speed: number): Seconds {
    return speed > 0 ? (samples * (this.#prices[to]! - this.#prices[from]!)) / speed : Infinity;
  }

  #classOf(device: Device): DeviceClass {
    const key = classOf(device);
    const known = this.#classes.get(key);
    if (known) return known;
    const units = new UnitSeconds(this.layers.units, ratesOf(device));
    let speed = 0;
    for (let unit = 0; unit < this.layers.units.length; unit++) {
      const price = this.#prices[unit + 1]! - this.#prices[unit]!;
      const seconds = units.step([{ from: unit, to: unit + 1 }], false).perSample;
      if (price > 0) speed = Math.max(speed, price / seconds);
    }
    const made = { units, speed };
    this.#classes.set(key, made);
    return made;
  }

  /** The worst link between a device of one group and one of another. */
  linkAcross(a: Group, b: Group): Link {
    return this.#network.across(a.devices, b.devices);
  }

  /**
   * The best way of a group to compute stages: shares that are done earliest, without recomputation where memory
   * allows that and it is not slower.
   * @param alone nobody else takes part in the job
   */
  choose(
    group: Group,
    stages: readonly HeldStage[],
    slicing: Slicing,
    alone: boolean,
    options: StageOptions = {},
  ): Choice | undefined {
    if (options.recompute !== undefined) {
      return this.evaluate(group, stages, slicing, alone, options.recompute, options.shares);
    }
    const kept = this.evaluate(group, stages, slicing, alone, false, options.shares);
    if (kept && !kept.limited) return kept;
    const again = this.evaluate(group, stages, slicing, alone, true, options.shares);
    return again && (!kept || again.seconds < kept.seconds) ? again : kept;
  }

  /** O(lanes^2) at worst, O(1) for one device. */
  evaluate(
    group: Group,
    stages: readonly HeldStage[],
    slicing: Slicing,
    alone: boolean,
    recompute: boolean,
    weights?: readonly number[],
  ): Choice | undefined {
    const { microBatches, samples, shardOptimizer } = slicing;
    const holding = {
      stages,
      recompute,
      accumulates: microBatches > 1,
      shards: shardOptimizer ? group.size : 1,
      communicates: !alone || group.size > 1,
    };
    const lanes = group.lanes.map(({ devices, memory, units }): Lane => {
      const { constant, perSample } = units.step(stages, recompute);
      const capacity = this.bytes.samplesWithin(memory, holding);
      return { count: devices.length, constant, perSample, capacity };
    });
    const balanced = weights
      ? forcedShares(samples, group, lanes, weights)
      : balance(samples, lanes, shardOptimizer && group.size > 1 ? 1 : 0);
    if (!balanced) return undefined;
    return { group, stages, recompute, ...balanced, after: this.#after(group, stages, shardOptimizer) };
  }

  /** Gradients around the ring, every trained value read and written once with its gradient and state. */
  #after({ lanes, size, link }: Group, stages: readonly HeldStage[], sharded: boolean): Seconds {
    let [trained, tied] = [0, 0];
    for (const range of stages) {
      trained += this.bytes.parameters(range, true);
      tied += this.bytes.tiedOutside(range);
    }
    const touched = (trained * (3 + 2 * this.job.stateFactor)) / (sharded ? size : 1);
    const slowest = lanes.reduce((most, { rates }) => Math.max(most, rates.byte), 0);
    const exchanged = tied === 0 ? 0 : 2 * transferSeconds(this.#worst, tied);
    return ringSeconds(trained, size, link) + exchanged + touched * slowest;
  }

  /** What the parts of a chosen stage take; together `seconds` of the choice, over all its stages. */
  costs({ group, stages, recompute, seconds, shares }: Choice): readonly StageCosts[] {
    const single = group.size === 1;
    const units = single ? group.lanes[0]!.units : this.#reference;
    const samples = shares.reduce((sum, { each, more }, i) => {
      return sum + each * group.lanes[i]!.devices.length + more;
    }, 0);
    const parts = stages.map((range) => {
      const [forward, input, weight] = PARTS.map((part) => {
        const { constant, perSample } = units.of(part, range);
        return constant + perSample * (samples / group.size);
      }) as [number, number, number];
      return { forward, backwardInput: input + (recompute ? forward : 0), backwardWeight: weight };
    });
    const sum = parts.reduce((all, part) => all + part.forward + part.backwardInput + part.backwardWeight, 0);
    const scale = sum > 0 ? seconds / sum : 0;
    return parts.map((part) => ({
      forward: part.forward * scale,
      backwardInput: part.backwardInput * scale,
      backwardWeight: part.backwardWeight * scale,
    }));
  }
}

function classOf({ flops, convolutionFlops, memoryBandwidthBytesPerSecond, launchSeconds }: Device): string {
  return [flops, convolutionFlops, memoryBandwidthBytesPerSecond, launchSeconds].join('|');
}

/** Shares in proportion to weights, one a device of the group, whatever that costs. */
function forcedShares(
  samples: number,
  group: Group,
  lanes: readonly Lane[],
  weights: readonly number[],
): Balance | undefined {
  const shares = splitShares(
    samples,
    weights,
    weights.map(() => Infinity),
  );
  if (!shares || lanes.some(({ capacity }, i) => (shares[i] ?? Infinity) > capacity)) return undefined;
  return {
    seconds: lanes.reduce((most, lane, i) => Math.max(most, lane.constant + lane.perSample * shares[i]!), 0),
    shares: group.lanes.map((_, i) => ({ each: shares[i]!, more: 0 })),
    limited: false,
  };
}
