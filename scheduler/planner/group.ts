import type { Seconds } from '../../base/index.js';
import { footprintOf, type Footprint } from '../account.js';
import type { Device, Link } from '../device.js';
import { Abilities, abilityKey, usesOwnOperators } from './abilities.js';
import { Balancer } from './balance.js';
import type { CalibratedEfforts } from './calibrate.js';
import { prefixSums, ratesOf, type Efforts, type Rates } from './cost.js';
import type { LayerProfile } from './layers.js';
import type { Network } from './network.js';

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

export interface GroupLane {
  readonly devices: readonly Device[];
  readonly rates: Rates;
  readonly efforts: Efforts;
  /** Undefined where the devices run whatever fits their memory. */
  readonly abilities: Abilities | undefined;
}

type LaneFigures = Readonly<Record<keyof Rates | 'memory', Float64Array>>;

/**
 * Replicas wait for each other once a micro-batch, so their sum counts; how it divides into forward and backward is
 * taken from the rates of this device, the same for all clusters: a share that moved from one device to
 * another then never makes one of the parts longer while the sum gets shorter.
 */
export const REFERENCE: Rates = { product: 1e-11, convolution: 1e-11, byte: 1e-10, launch: 5e-6 };

/** Groups of devices for stages of one model, and how fast they are at most. */
export class Groups {
  readonly #speeds = new Map<string, number>();
  readonly #abilities = new Map<string, Abilities>();
  #usesOwn: boolean | undefined;
  readonly #footprints = new Map<string, Footprint>();
  /** Of the first units, on the reference, a sample. */
  readonly #prices: Float64Array;

  constructor(
    private readonly layers: LayerProfile,
    private readonly efforts: CalibratedEfforts,
    private readonly network: Network,
  ) {
    const all = layers.units.map((_, unit) => efforts.plain.least(unit, REFERENCE).perSample);
    this.#prices = prefixSums(all, (seconds) => seconds);
  }

  /**
   * O(devices + named links).
   * @param separate keeps equal devices apart, for shares that are given one by one
   */
  of(index: number, devices: readonly Device[], separate = false): Group {
    const byClass = new Map<string, Device[]>();
    for (const device of devices) {
      const { memoryBytes, engine = '', ownMemory = false } = device;
      const kind = `${memoryBytes}|${engine}|${ownMemory}|${abilityKey(device)}`;
      const key = `${this.efforts.classOf(device)}|${kind}${separate ? device.id : ''}`;
      const known = byClass.get(key);
      if (known) known.push(device);
      else byClass.set(key, [device]);
    }
    const lanes = [...byClass.values()].map((equal): GroupLane => ({
      devices: equal,
      rates: ratesOf(equal[0]!),
      efforts: this.efforts.of(equal[0]!),
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
    const link = this.network.among(devices);
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

  /** The worst link between a device of one group and one of another. */
  linkAcross(a: Group, b: Group): Link {
    return this.network.across(a.devices, b.devices);
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
    const key = this.efforts.classOf(device);
    const known = this.#speeds.get(key);
    if (known !== undefined) return known;
    const rates = ratesOf(device);
    const efforts = this.efforts.of(device);
    let speed = 0;
    for (let unit = 0; unit < this.layers.units.length; unit++) {
      const price = this.#prices[unit + 1]! - this.#prices[unit]!;
      if (price > 0) speed = Math.max(speed, price / efforts.least(unit, rates).perSample);
    }
    this.#speeds.set(key, speed);
    return speed;
  }
}
