import type { Device } from '../device.js';
import { countPaths, waysToCut } from './exact.js';
import { makeFamily, type Family } from './family.js';
import { merged, mergeUnits, type UnitRange } from './layers.js';
import type { PlanRequest } from './request.js';
import { StageModel } from './stage.js';

/** A model with its units merged as far as a search needs, and the groups of devices that it goes through. */
export interface Grain {
  readonly model: StageModel;
  readonly family: Family;
  /** Which units of the request's profile each unit of `model` is. */
  readonly ranges: readonly UnitRange[];
}

/** Transitions that one pass of the dynamic programme may take: it decides how finely units are told apart. */
const TRANSITIONS = 150_000;
/** Pipelines of one shape that may be gone through one by one. */
const MOST_PIPELINES = 4_000;
const FEWEST_UNITS = 16;
const MOST_UNITS = 192;
/** Pipelines are no longer than this. */
export const LONGEST = 64;

/** Models merged for searches; they depend on the model and on how many devices there are, not on how good they are. */
export class Grains {
  readonly #made = new Map<string, Grain>();
  readonly #devices: readonly Device[];

  constructor(
    readonly request: PlanRequest,
    devices: readonly Device[] = request.devices,
  ) {
    this.#devices = devices;
  }

  /** For the dynamic programme: units^2 / 2 times the edges of the family. */
  forChains(): Grain {
    const { data } = this.request.parallelism ?? {};
    const coarsest = this.#of(FEWEST_UNITS, data);
    const edges = coarsest.family.nodes.reduce((sum, { before }) => sum + before.length, 1);
    const most = Math.floor(Math.sqrt((2 * TRANSITIONS) / edges));
    return this.#of(Math.min(MOST_UNITS, Math.max(FEWEST_UNITS, most)), data);
  }

  /** For long pipelines in which every stage has so many replicas, one run of devices after the other. */
  forRuns(replicas: number): Grain {
    return this.#of(LONGEST, replicas);
  }

  /** For going through all pipelines of a shape one by one; undefined where they are too many however they are merged. */
  forPipelines(ranks: number, stages: number): Grain | undefined {
    const { data } = this.request.parallelism ?? {};
    const { family } = this.#of(1, data);
    const paths = countPaths(family, ranks);
    let units = stages;
    while (units <= 64 && paths * waysToCut(units + 1, stages) <= MOST_PIPELINES) units++;
    const fits = paths * waysToCut(units, stages) <= MOST_PIPELINES;
    return fits && stages <= this.request.layers.units.length ? this.#of(units, data) : undefined;
  }

  #of(most: number, replicas: number | undefined): Grain {
    const { layers, job, topology, parallelism } = this.request;
    const ranges = mergeUnits(layers, most);
    const key = `${ranges.length} ${replicas ?? ''}`;
    const known = this.#made.get(key);
    if (known) return known;
    const model = new StageModel(merged(layers, ranges), job, topology, this.#devices, layers, ranges);
    const family = makeFamily(model, this.#devices, replicas, parallelism?.shares !== undefined);
    const grain = { model, family, ranges };
    this.#made.set(key, grain);
    return grain;
  }
}
