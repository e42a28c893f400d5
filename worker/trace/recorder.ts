import { writeFile } from 'node:fs/promises';
import type { Seconds } from '../../base/index.js';
import {
  EVENT_KINDS,
  toRankTrace,
  type EventKind,
  type RankTrace,
  type TraceEvent,
} from '../../scheduler/index.js';

export interface TraceOptions {
  /** Steps before this one are warm-up: left out where there are later ones. Default: 3. */
  readonly firstStep?: number;
  /** How many steps are kept, the last ones. Default: 8. */
  readonly steps?: number;
  /** How many events are kept, the last ones; half a mebibyte at the default of 16,384. */
  readonly mostEvents?: number;
}

const NUMBERS: Readonly<Record<EventKind, number>> = Object.fromEntries(
  EVENT_KINDS.map((kind, i) => [kind, i]),
) as Record<EventKind, number>;

/**
 * What a rank did and when, of its last steps: a ring of fixed size, made at the start, so that recording allocates
 * nothing and takes the same at every step. A step of which something was overwritten is left out.
 */
export class TraceRecorder {
  readonly #firstStep: number;
  readonly #steps: number;
  readonly #most: number;
  readonly #kinds: Uint8Array;
  readonly #stages: Uint16Array;
  readonly #microBatches: Uint32Array;
  readonly #stepNumbers: Uint32Array;
  readonly #times: Float64Array;
  #count = 0;
  /** The last step of which something was overwritten. */
  #lost = -1;

  constructor(
    readonly rank: number,
    { firstStep = 3, steps = 8, mostEvents = 16_384 }: TraceOptions = {},
  ) {
    this.#firstStep = firstStep;
    this.#steps = steps;
    this.#most = mostEvents;
    this.#kinds = new Uint8Array(mostEvents);
    this.#stages = new Uint16Array(mostEvents);
    this.#microBatches = new Uint32Array(mostEvents);
    this.#stepNumbers = new Uint32Array(mostEvents);
    this.#times = new Float64Array(2 * mostEvents);
  }

  /** Seconds since 1970, as events are dated: finer and steadier than the system's own milliseconds. */
  static now(): Seconds {
    return (performance.timeOrigin + performance.now()) / 1000;
  }

  /** O(1), allocates nothing. Events may come in any order. */
  add(
    kind: EventKind,
    stage: number,
    microBatch: number,
    step: number,
    startSeconds: Seconds,
    endSeconds: Seconds,
  ): void {
    const i = this.#count % this.#most;
    if (this.#count >= this.#most) this.#lost = Math.max(this.#lost, this.#stepNumbers[i]!);
    this.#kinds[i] = NUMBERS[kind];
    this.#stages[i] = stage;
    this.#microBatches[i] = microBatch;
    this.#stepNumbers[i] = step;
    this.#times[2 * i] = startSeconds;
    this.#times[2 * i + 1] = endSeconds;
    this.#count++;
  }

  /** The whole steps kept: the last ones, without warm-up unless there is nothing else. In the order of recording. */
  events(): readonly TraceEvent[] {
    const kept = Math.min(this.#count, this.#most);
    const places = Array.from({ length: kept }, (_, i) => (this.#count - kept + i) % this.#most);
    const whole = [...new Set(places.map((i) => this.#stepNumbers[i]!))]
      .filter((step) => step > this.#lost)
      .sort((a, b) => a - b);
    const warm = whole.filter((step) => step >= this.#firstStep);
    const chosen = new Set((warm.length > 0 ? warm : whole).slice(-this.#steps));
    return places
      .filter((i) => chosen.has(this.#stepNumbers[i]!))
      .map((i): TraceEvent => ({
        rank: this.rank,
        kind: EVENT_KINDS[this.#kinds[i]!]!,
        stage: this.#stages[i]!,
        microBatch: this.#microBatches[i]!,
        step: this.#stepNumbers[i]!,
        start: this.#times[2 * i]!,
        end: this.#times[2 * i + 1]!,
      }));
  }

  toJson(): RankTrace {
    return toRankTrace(this.rank, this.events());
  }

  /** As a JSON file, for the daemon to hand over. */
  async write(path: string): Promise<void> {
    await writeFile(path, JSON.stringify(this.toJson()));
  }
}
