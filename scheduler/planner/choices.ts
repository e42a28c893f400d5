import type { Seconds } from '../../base/index.js';
import type { Group } from './group.js';
import type { Choice, Slicing, StageModel, StageOptions } from './stage.js';

/** What is the same for all stages that are looked at. */
interface Common {
  readonly model: StageModel;
  readonly slicing: Slicing;
  readonly options: StageOptions;
}

/**
 * What groups choose for stages of one pipeline position after the other, each looked at once: with more micro-batches in
 * flight what did not fit does not fit, and what took some time takes no less.
 */
export class Choices {
  readonly #units: number;
  #inFlight = 0;
  #chosen = new Map<number, Choice | null>();
  #before = new Map<number, Choice | null>();
  /** For a group and an end, the last first unit from which on back nothing fits. */
  #barriers = new Map<number, number>();

  constructor(private readonly search: Common) {
    this.#units = search.model.layers.units.length + 1;
  }

  /** Begins with another position. */
  holding(inFlight: number): void {
    if (inFlight < this.#inFlight) {
      this.#chosen = new Map();
      this.#barriers = new Map();
    }
    this.#inFlight = inFlight;
    this.#before = this.#chosen;
    this.#chosen = new Map();
  }

  /** What is known already of how long units [from, to) take: 0 where nothing is, Infinity where they do not fit. */
  atLeast(group: Group, from: number, to: number): Seconds {
    const key = this.#key(group, from, to);
    const known = this.#chosen.get(key) ?? this.#before.get(key);
    return known === null ? Infinity : (known?.seconds ?? 0);
  }

  /** Whether neither these units nor any more before them fit. */
  full(group: Group, from: number, to: number): boolean {
    return from <= (this.#barriers.get(group.index * this.#units + to) ?? -1);
  }

  of(group: Group, from: number, to: number): Choice | null {
    const key = this.#key(group, from, to);
    const known = this.#chosen.get(key);
    if (known !== undefined) return known;
    const { model, slicing, options } = this.search;
    const stage = { from, to, inFlight: this.#inFlight };
    const made =
      this.#before.get(key) === null ? null : (model.choose(group, [stage], slicing, false, options) ?? null);
    this.#chosen.set(key, made);
    if (!made && model.overflows(group, stage, slicing)) {
      const end = group.index * this.#units + to;
      this.#barriers.set(end, Math.max(from, this.#barriers.get(end) ?? -1));
    }
    return made;
  }

  #key(group: Group, from: number, to: number): number {
    return (group.index * this.#units + from) * this.#units + to;
  }
}
