import type { Seconds } from '../../base/index.js';
import { footprintOf, type Footprint } from '../account.js';
import type { Device, Link, Topology } from '../device.js';
import type { StageCosts } from '../pipeline/index.js';
import { splitShares } from '../shares.js';
import { Abilities, abilityKey, usesOwnOperators } from './abilities.js';
import { Balancer } from './balance.js';
import { CalibratedEfforts } from './calibrate.js';
import {
  PARTS,
  type Efforts,
  prefixSums,
  ratesOf,
  HANDOVER_SECONDS,
  latencyOf,
  ringSeconds,
  secondsFor,
  transferSeconds,
  UPDATE_PASSES,
  type Duration,
  type Keeping,
  type Rates,
} from './cost.js';
import type { LayerProfile, UnitRange } from './layers.js';
import { UnitBytes, type HeldStage, type JobBytes } from './memory.js';
import { Network } from './network.js';

/** Devices that would be the replicas of a stage, equal ones together. */
export interface Group {
  readonly index: number;
  readonly devices: readonly Device[];
  readonly lanes: readonly GroupLane[];
  /** Of each lane, in arrays: what the search asks for again and again. */
  readonly figures: LaneFigures;
  readonly footprints: readonly Footprint[];
  readonly balancer: Balancer;
  readonly size: number;
  /** The worst of the links between its devices. */
  readonly link: Link;
  /** How many times as fast as the reference its devices are together, at most, whatever they compute. */
  readonly speed: number;
}

interface GroupLane {
  readonly devices: readonly Device[];
  readonly rates: Rates;
  readonly efforts: Efforts;
  /** Undefined where the devices run whatever fits their memory. */
  readonly abilities: Abilities | undefined;
}

type LaneFigures = Readonly<Record<keyof Rates | 'memory', Float64Array>>;

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
  /** The job says how many replicas: one that cannot run anything of the stage is none. */
  readonly counted?: boolean;
}

/** A stage (or the several that a pipeline rank holds) as a group of devices would compute it. */
export interface Choice {
  readonly group: Group;
  readonly stages: readonly HeldStage[];
  readonly keeping: Keeping;
  /** Of the largest micro-batch, which the devices of the group share. */
  readonly samples: number;
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
  readonly #efforts: CalibratedEfforts;
  readonly #speeds = new Map<string, number>();
  readonly #abilities = new Map<string, Abilities>();
  #usesOwn: boolean | undefined;
  readonly #footprints = new Map<string, Footprint>();
  /** Of the first units, on the reference, a sample. */
  readonly #prices: Float64Array;
  readonly #network: Network;
  readonly #worst: Link;
  readonly #devices: number;

  constructor(
    readonly layers: LayerProfile,
    readonly job: JobBytes,
    topology: Topology,
    devices: readonly Device[],
    /** The profile that calibrations speak of, and which of its units each unit of `layers` is. */
    whole: LayerProfile = layers,
    ranges: readonly UnitRange[] = whole.units.map((_, unit) => ({ from: unit, to: unit + 1 })),
  ) {
    this.bytes = new UnitBytes(layers, job);
    this.#efforts = new CalibratedEfforts(whole, ranges);
    const all = layers.units.map((_, unit) => this.#efforts.plain.least(unit, REFERENCE).perSample);
    this.#prices = prefixSums(all, (seconds) => seconds);
    this.#devices = devices.length;
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
      const { memoryBytes, engine = '', ownMemory = false } = device;
      const kind = `${memoryBytes}|${engine}|${ownMemory}|${abilityKey(device)}`;
      const key = `${this.#efforts.classOf(device)}|${kind}${separate ? device.id : ''}`;
      const known = byClass.get(key);
      if (known) known.push(device);
      else byClass.set(key, [device]);
    }
    const lanes = [...byClass.values()].map((equal): GroupLane => ({
      devices: equal,
      rates: ratesOf(equal[0]!),
      efforts: this.#efforts.of(equal[0]!),
      abilities: this.#abilitiesOf(equal[0]!),
    }));
    const footprints = lanes.map(({ devices }) => this.#footprintOf(devices[0]!));
    const each = (of: (lane: GroupLane) => number) => Float64Array.from(lanes, of);
    const figures = {
      product: each(({ rates }) => rates.product),
      convolution: each(({ rates }) => rates.convolution),
      byte: each(({ rates }) => rates.byte),
      launch: each(({ rates }) => rates.launch),
      memory: each(({ devices }) => devices[0]!.memoryBytes),
    };
    const balancer = new Balancer(each((lane) => lane.devices.length));
    const link = this.#network.among(devices);
    const speed = this.speedOf(devices);
    return { index, devices, lanes, figures, footprints, balancer, size: devices.length, link, speed };
  }

  /** How many times as fast as the reference devices are together, at most, whatever they compute. */
  speedOf(devices: readonly Device[]): number {
    return devices.reduce((sum, device) => sum + this.#speedOf(device), 0);
  }

  /**
   * Seconds below which devices of a speed together do not compute units [from, to) for so many samples, however they
   * share them (the duality of `lowerBound`, with the reference's seconds as prices). O(1).
   */
  leastSeconds(from: number, to: number, samples: number, speed: number): Seconds {
    return speed > 0 ? (samples * (this.#prices[to]! - this.#prices[from]!)) / speed : Infinity;
  }

  #abilitiesOf(device: Device): Abilities | undefined {
    const key = abilityKey(device);
    this.#usesOwn ??= usesOwnOperators(this.layers);
    if (key === '' && !this.#usesOwn) return undefined;
    let known = this.#abilities.get(key);
    if (!known) this.#abilities.set(key, (known = new Abilities(this.layers, device)));
    return known;
  }

  /** One object for equal ones: what is asked of their memory is then asked once. */
  #footprintOf({ engine, ownMemory = false }: Device): Footprint {
    const key = `${engine ?? ''} ${ownMemory}`;
    let known = this.#footprints.get(key);
    if (!known) this.#footprints.set(key, (known = footprintOf({ ...(engine && { engine }), ownMemory })));
    return known;
  }

  #speedOf(device: Device): number {
    const key = this.#efforts.classOf(device);
    const known = this.#speeds.get(key);
    if (known !== undefined) return known;
    const rates = ratesOf(device);
    const efforts = this.#efforts.of(device);
    let speed = 0;
    for (let unit = 0; unit < this.layers.units.length; unit++) {
      const price = this.#prices[unit + 1]! - this.#prices[unit]!;
      if (price > 0) speed = Math.max(speed, price / efforts.least(unit, rates).perSample);
    }
    this.#speeds.set(key, speed);
    return speed;
  }

  /** What stages take on a device of a lane, forward and backward. */
  step(
    stages: readonly HeldStage[],
    keeping: Keeping,
    { rates, efforts }: Pick<GroupLane, 'rates' | 'efforts'>,
  ): Duration {
    return secondsFor(efforts.step(stages, keeping), rates);
  }

  /** The worst link between a device of one group and one of another. */
  linkAcross(a: Group, b: Group): Link {
    return this.#network.across(a.devices, b.devices);
  }

  /**
   * The best way of a group to compute stages: shares that are done earliest, without recomputation where memory
   * allows that and it is not slower.
   * @param alone they are the whole model, and one program
   */
  choose(
    group: Group,
    stages: readonly HeldStage[],
    slicing: Slicing,
    alone: boolean,
    { recompute, shares, counted = false }: StageOptions = {},
  ): Choice | undefined {
    if (counted && !this.runs(group, stages)) return undefined;
    if (alone) return this.evaluate(group, stages, slicing, 'fused', shares);
    if (recompute === true) return this.evaluate(group, stages, slicing, 'recomputed', shares);
    const kept = this.evaluate(group, stages, slicing, 'kept', shares);
    if (recompute === false || (kept && !kept.limited)) return kept;
    const again = this.evaluate(group, stages, slicing, 'recomputed', shares);
    return again && (!kept || again.seconds < kept.seconds) ? again : kept;
  }

  /** Whether every device of a group can run stages, with however few samples. */
  runs({ lanes }: Group, stages: readonly HeldStage[]): boolean {
    return lanes.every(
      ({ abilities }) => !abilities || stages.every(({ from, to }) => abilities.samples(from, to) >= 1),
    );
  }

  /** O(lanes log lanes) as a rule, O(1) for one device. */
  evaluate(
    group: Group,
    stages: readonly HeldStage[],
    slicing: Slicing,
    keeping: Keeping,
    weights?: readonly number[],
  ): Choice | undefined {
    const { samples, shardOptimizer } = slicing;
    const seconds = this.#balance(group, stages, slicing, keeping, weights);
    if (seconds === undefined) return undefined;
    const { limited } = group.balancer;
    const after = this.#after(group, stages, shardOptimizer);
    return { group, stages, keeping, samples, limited: limited && !weights, seconds, after };
  }

  /** Of the largest micro-batch the samples of each device, in the order of the group's lanes. */
  sharesOf(
    { group, stages, keeping }: Choice,
    slicing: Slicing,
    weights?: readonly number[],
  ): readonly number[] {
    this.#balance(group, stages, slicing, keeping, weights);
    const { each, more } = group.balancer;
    return group.lanes.flatMap(({ devices }, lane) =>
      devices.map((_, i) => each[lane]! + (i < more[lane]! ? 1 : 0)),
    );
  }

  #balance(
    { lanes, figures, footprints, balancer, size }: Group,
    stages: readonly HeldStage[],
    { samples, shardOptimizer }: Slicing,
    keeping: Keeping,
    weights: readonly number[] | undefined,
  ): Seconds | undefined {
    const { memory, product, convolution, byte, launch } = figures;
    const { perSample, constant, capacity } = balancer;
    const { plain } = this.#efforts;
    const common = plain.step(stages, keeping);
    const handovers = HANDOVER_SECONDS * computationsOf(stages, keeping);
    for (let i = 0; i < memory.length; i++) {
      const { efforts } = lanes[i]!;
      const effort = efforts === plain ? common : efforts.step(stages, keeping);
      // as in secondsFor, without an object for each of so many
      perSample[i] =
        effort.product * product[i]! + effort.convolution * convolution[i]! + effort.bytes * byte[i]!;
      constant[i] = effort.fixedBytes * byte[i]! + effort.launches * launch[i]! + handovers;
    }
    // who the neighbours are is not known here: as many as there may be
    const neighbours = this.#devices - size;
    this.bytes.samplesWithin(
      memory,
      { stages, keeping, replicas: size, shardOptimizer, neighbours },
      footprints,
      capacity,
    );
    lanes.forEach(({ abilities }, i) => {
      if (!abilities) return;
      for (const { from, to } of stages) capacity[i] = Math.min(capacity[i]!, abilities.samples(from, to));
    });
    if (weights) return forceShares(samples, balancer, weights);
    return balancer.balance(samples, shardOptimizer && size > 1 ? 1 : 0);
  }

  /** Whether a stage, and every longer one that ends where it does, is too much for a group's devices. O(lanes). */
  overflows(
    { lanes, figures, footprints, balancer, size }: Group,
    stage: HeldStage,
    { samples, shardOptimizer }: Slicing,
  ): boolean {
    let room = 0;
    for (let i = 0; i < figures.memory.length; i++) {
      const { fixed, perSample } = this.bytes.atLeast(stage, shardOptimizer ? size : 1, footprints[i]!);
      const free = figures.memory[i]! - fixed;
      if (free < 0) continue;
      const most = lanes[i]!.abilities?.samples(stage.from, stage.to) ?? Infinity;
      room += balancer.count[i]! * Math.min(most, perSample === 0 ? Infinity : Math.floor(free / perSample));
    }
    return room < samples;
  }

  /** Gradients around the ring, every trained value read and written once with its gradient and state. */
  #after({ figures, size, link }: Group, stages: readonly HeldStage[], sharded: boolean): Seconds {
    let [trained, tied] = [0, 0];
    for (const range of stages) {
      trained += this.bytes.parameters(range, true);
      tied += this.bytes.tiedOutside(range);
    }
    const touched = (UPDATE_PASSES * trained * (3 + 2 * this.job.stateFactor)) / (sharded ? size : 1);
    const slowest = figures.byte.reduce((most, byte) => Math.max(most, byte), 0);
    const exchanged = tied === 0 ? 0 : 2 * transferSeconds(this.#worst, tied);
    // all agree on the loss and the norm before anybody updates
    const agreed = (size - 1) * latencyOf(link) + 2 * HANDOVER_SECONDS;
    return ringSeconds(trained, size, link) + agreed + exchanged + touched * slowest;
  }

  /** What the parts of a chosen stage take; together `seconds` of the choice, over all its stages. */
  costs({ group, stages, keeping, seconds, samples }: Choice): readonly StageCosts[] {
    const { rates, efforts } =
      group.size === 1 ? group.lanes[0]! : { rates: REFERENCE, efforts: this.#efforts.plain };
    const parts = stages.map((range) => {
      const [forward, backwardInput, backwardWeight] = PARTS.map((part) => {
        const { constant, perSample } = secondsFor(efforts.of(part, range, keeping), rates);
        return constant + perSample * (samples / group.size);
      }) as [number, number, number];
      return { forward, backwardInput, backwardWeight };
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

/** Programs that a micro-batch takes. */
function computationsOf(stages: readonly HeldStage[], keeping: Keeping): number {
  if (keeping === 'fused') return 1;
  return stages.reduce((sum, { split, joined }) => sum + (joined ? 1 : split ? 3 : 2), 0);
}

/** Shares in proportion to weights, one a device of the group, whatever that costs. */
function forceShares(
  samples: number,
  { constant, perSample, capacity, each, more }: Balancer,
  weights: readonly number[],
): Seconds | undefined {
  const shares = splitShares(
    samples,
    weights,
    weights.map(() => Infinity),
  );
  if (!shares || capacity.some((most, i) => (shares[i] ?? Infinity) > most)) return undefined;
  each.set(shares);
  more.fill(0);
  return shares.reduce((most, share, i) => Math.max(most, constant[i]! + perSample[i]! * share), 0);
}
