import type { Seconds } from '../../base/index.js';
import type { Device, Link, Topology } from '../device.js';
import type { StageCosts } from '../pipeline/index.js';
import { splitShares } from '../shares.js';
import type { Balancer } from './balance.js';
import { CalibratedEfforts } from './calibrate.js';
import {
  PARTS,
  HANDOVER_SECONDS,
  latencyOf,
  ringSeconds,
  secondsFor,
  transferSeconds,
  UPDATE_PASSES,
  type Duration,
  type Keeping,
} from './cost.js';
import { Groups, REFERENCE, type Group, type GroupLane } from './group.js';
import type { LayerProfile, UnitRange } from './layers.js';
import { UnitBytes, type HeldStage, type JobBytes } from './memory.js';
import { Network } from './network.js';

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

/** What stages of one model take on groups of devices. All answers fall with speed and memory, none grows. */
export class StageModel {
  readonly bytes: UnitBytes;
  readonly groups: Groups;
  readonly #efforts: CalibratedEfforts;
  /** The worst link of all. */
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
    const network = new Network(topology);
    this.groups = new Groups(layers, this.#efforts, network);
    this.#devices = devices.length;
    this.#worst = network.among(devices);
  }

  /** What stages take on a device of a lane, forward and backward. */
  step(
    stages: readonly HeldStage[],
    keeping: Keeping,
    { rates, efforts }: Pick<GroupLane, 'rates' | 'efforts'>,
  ): Duration {
    return secondsFor(efforts.step(stages, keeping), rates);
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
