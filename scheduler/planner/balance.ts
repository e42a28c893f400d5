import type { Seconds } from '../../base/index.js';

/**
 * Splits samples over unequal devices so that the last is done as early as whole samples allow: exact, not rounded.
 *
 * Equal devices are a lane: lane i has `count[i]` of them, n samples cost each constant[i] + perSample[i] x n seconds,
 * and it has memory for at most `capacity[i]`. What no device can exceed at the optimum is given at once (the fluid
 * optimum, rounded down), the rest goes one sample at a time to whoever would be done first. Being exact, the seconds
 * never grow when a device gets faster or has more memory. O(lanes log lanes) as a rule; the devices do not matter.
 *
 * A search balances the same lanes again and again: `constant`, `perSample` and `capacity` are there to be written before
 * each time, and are used up by it.
 */
export class Balancer {
  readonly constant: Float64Array;
  readonly perSample: Float64Array;
  readonly capacity: Float64Array;
  /** The first `more[i]` devices of a lane take `each[i] + 1` samples, the others `each[i]`: as balanced last. */
  readonly each: Float64Array;
  readonly more: Float64Array;
  readonly #open: Uint8Array;
  readonly #soonest: Soonest;
  #limited = false;

  constructor(readonly count: Float64Array) {
    const lanes = count.length;
    this.constant = new Float64Array(lanes);
    this.perSample = new Float64Array(lanes);
    this.capacity = new Float64Array(lanes);
    this.each = new Float64Array(lanes);
    this.more = new Float64Array(lanes);
    this.#open = new Uint8Array(lanes);
    this.#soonest = new Soonest(this);
  }

  /** Whether, as balanced last, some device would take more if it had the memory. */
  get limited(): boolean {
    return this.#limited;
  }

  /**
   * @param least samples that every device takes, 0 or 1
   * @returns when the last device is done; undefined where the capacities do not add up, or a device has no room for
   *   `least`
   */
  balance(samples: number, least: 0 | 1): Seconds | undefined {
    if (least === 0) return this.#fill(samples);
    const { count, constant, perSample, capacity, each } = this;
    let devices = 0;
    let first = 0;
    for (let i = 0; i < count.length; i++) {
      if (capacity[i]! < 1) return undefined;
      devices += count[i]!;
      constant[i]! += perSample[i]!;
      capacity[i]! -= 1;
      first = Math.max(first, constant[i]!);
    }
    const rest = samples < devices ? undefined : this.#fill(samples - devices);
    if (rest === undefined) return undefined;
    for (let i = 0; i < each.length; i++) each[i]! += 1;
    return Math.max(first, rest);
  }

  #fill(samples: number): Seconds | undefined {
    const { count, constant, perSample, capacity, each, more } = this;
    let room = 0;
    for (let i = 0; i < count.length; i++) room += count[i]! * capacity[i]!;
    if (!(room >= samples)) return undefined;
    startOf(samples, this, this.#open, each);
    more.fill(0);
    let left = samples;
    for (let i = 0; i < count.length; i++) left -= each[i]! * count[i]!;
    if (left > 0) this.#soonest.begin();
    while (left > 0) {
      const next = this.#soonest.first();
      const taken = Math.min(left, count[next]! - more[next]!);
      left -= taken;
      more[next]! += taken;
      if (more[next]! < count[next]!) continue;
      each[next]! += 1;
      more[next] = 0;
      this.#soonest.moved();
    }
    let seconds = 0;
    this.#limited = false;
    for (let i = 0; i < count.length; i++) {
      const mine = each[i]! + (more[i]! > 0 ? 1 : 0);
      if (mine > 0) seconds = Math.max(seconds, constant[i]! + perSample[i]! * mine);
      if (each[i]! >= capacity[i]!) this.#limited = true;
    }
    return seconds;
  }
}

type Lanes = Pick<Balancer, 'count' | 'constant' | 'perSample' | 'capacity' | 'each'>;

/** The lanes by when their next sample would be done, in a binary heap; full ones are not in it. */
class Soonest {
  readonly #heap: Int32Array;
  readonly #ends: Float64Array;
  #size = 0;

  constructor(private readonly lanes: Lanes) {
    this.#heap = new Int32Array(lanes.count.length);
    this.#ends = new Float64Array(lanes.count.length);
  }

  begin(): void {
    this.#size = 0;
    for (let lane = 0; lane < this.#heap.length; lane++) {
      if (this.#enter(lane)) this.#heap[this.#size++] = lane;
    }
    for (let at = (this.#size >> 1) - 1; at >= 0; at--) this.#sink(at);
  }

  first(): number {
    return this.#heap[0]!;
  }

  /** The first lane's share has grown. */
  moved(): void {
    if (!this.#enter(this.first())) this.#heap[0] = this.#heap[--this.#size]!;
    this.#sink(0);
  }

  /** @returns whether the lane has room for another sample */
  #enter(lane: number): boolean {
    const { constant, perSample, capacity, each } = this.lanes;
    const next = each[lane]! + 1;
    this.#ends[lane] = constant[lane]! + perSample[lane]! * next;
    return next <= capacity[lane]!;
  }

  #sink(start: number): void {
    const heap = this.#heap;
    const ends = this.#ends;
    const lane = heap[start]!;
    let at = start;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= this.#size) break;
      if (child + 1 < this.#size && ends[heap[child + 1]!]! < ends[heap[child]!]!) child++;
      if (ends[heap[child]!]! >= ends[lane]!) break;
      heap[at] = heap[child]!;
      at = child;
    }
    heap[at] = lane;
  }
}

/** Shares that are no larger than at the optimum, and not far below. */
function startOf(samples: number, lanes: Lanes, open: Uint8Array, each: Float64Array): void {
  const { count, constant, perSample, capacity } = lanes;
  open.fill(1);
  for (let left = samples; ;) {
    const level = fluidLevel(left, lanes, open);
    let over = false;
    for (let i = 0; i < each.length; i++) {
      if (open[i] === 0) continue;
      const wanted =
        level > constant[i]! ? Math.max(0, Math.floor((level - constant[i]!) / perSample[i]! - 1e-9)) : 0;
      each[i] = wanted;
      if (wanted < capacity[i]!) continue;
      over = true;
      each[i] = capacity[i]!;
      open[i] = 0;
      left -= capacity[i]! * count[i]!;
    }
    if (!over) return;
  }
}

/** The time at which open lanes that take fractions of samples would all be done; those that start later are left out. */
function fluidLevel(samples: number, { count, constant, perSample }: Lanes, open: Uint8Array): number {
  for (let below = Infinity; ;) {
    let rate = 0;
    let ahead = 0;
    for (let i = 0; i < open.length; i++) {
      if (open[i] === 0 || constant[i]! >= below) continue;
      if (perSample[i] === 0) return 0; // one takes everything at no cost: whole samples find it
      const speed = count[i]! / perSample[i]!;
      rate += speed;
      ahead += constant[i]! * speed;
    }
    if (rate === 0) return 0;
    const level = (samples + ahead) / rate;
    let late = false;
    for (let i = 0; i < open.length && !late; i++)
      late = open[i] === 1 && constant[i]! < below && constant[i]! >= level;
    if (!late) return level;
    below = level;
  }
}
