/**
 * Equal devices of a stage are a lane. Lane i has `count[i]` of them; samples cost each constant + perSample x samples
 * seconds, and it has memory for at most `capacity[i]`.
 */
export interface Lanes {
  readonly count: Float64Array;
  readonly constant: Float64Array;
  readonly perSample: Float64Array;
  readonly capacity: Float64Array;
}

/** The first `more` devices of a lane take `each + 1` samples, the others `each`. */
export interface LaneShare {
  readonly each: number;
  readonly more: number;
}

export interface Balance {
  /** When the last device is done. */
  readonly seconds: number;
  readonly shares: readonly LaneShare[];
  /** Some device would take more if it had the memory. */
  readonly limited: boolean;
}

/**
 * Splits samples over unequal devices so that the last is done as early as whole samples allow: exact, not rounded.
 *
 * What no device can exceed at the optimum is given at once (the fluid optimum, rounded down), the rest goes one
 * sample at a time to whoever would be done first. Being exact, its `seconds` never grow when a device gets
 * faster or has more memory. O(lanes log lanes) as a rule, lanes being groups of equal devices; the devices do not matter.
 * @param least samples that every device takes, 0 or 1
 * @returns undefined where the capacities do not add up, or a device has no room for `least`
 */
export function balance(samples: number, lanes: Lanes, least: 0 | 1): Balance | undefined {
  if (least === 0) return fill(samples, lanes, 0);
  const { count, constant, perSample, capacity } = lanes;
  let devices = 0;
  let first = 0;
  for (let i = 0; i < count.length; i++) {
    if (capacity[i]! < 1) return undefined;
    devices += count[i]!;
    first = Math.max(first, constant[i]! + perSample[i]!);
  }
  if (samples < devices) return undefined;
  const rest = fill(
    samples - devices,
    {
      count,
      perSample,
      constant: constant.map((seconds, i) => seconds + perSample[i]!),
      capacity: capacity.map((most) => most - 1),
    },
    1,
  );
  return rest && { ...rest, seconds: Math.max(first, rest.seconds) };
}

/** @param given samples that every device has got already, to be counted in the shares alone */
function fill(samples: number, lanes: Lanes, given: number): Balance | undefined {
  const { count, constant, perSample, capacity } = lanes;
  const size = count.length;
  let room = 0;
  for (let i = 0; i < size; i++) room += count[i]! * capacity[i]!;
  if (!(room >= samples)) return undefined;
  const each = startOf(samples, lanes);
  const more = new Float64Array(size);
  let left = samples;
  for (let i = 0; i < size; i++) left -= each[i]! * count[i]!;
  const soonest = left > 0 ? new Soonest(lanes, each) : undefined;
  while (left > 0) {
    const next = soonest!.first();
    const taken = Math.min(left, count[next]! - more[next]!);
    left -= taken;
    more[next]! += taken;
    if (more[next]! < count[next]!) continue;
    each[next]!++;
    more[next] = 0;
    soonest!.moved();
  }
  let seconds = 0;
  let limited = false;
  const shares: LaneShare[] = [];
  for (let i = 0; i < size; i++) {
    const mine = each[i]! + (more[i]! > 0 ? 1 : 0);
    if (mine > 0) seconds = Math.max(seconds, constant[i]! + perSample[i]! * mine);
    limited ||= each[i]! >= capacity[i]!;
    shares.push({ each: each[i]! + given, more: more[i]! });
  }
  return { seconds, shares, limited };
}

/** The lanes by when their next sample would be done, in a binary heap; full ones are not in it. */
class Soonest {
  readonly #lanes: Lanes;
  readonly #each: Float64Array;
  readonly #heap: Int32Array;
  readonly #ends: Float64Array;
  #size = 0;

  constructor(lanes: Lanes, each: Float64Array) {
    this.#lanes = lanes;
    this.#each = each;
    this.#heap = new Int32Array(each.length);
    this.#ends = new Float64Array(each.length);
    for (let lane = 0; lane < each.length; lane++) if (this.#enter(lane)) this.#heap[this.#size++] = lane;
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
    const { constant, perSample, capacity } = this.#lanes;
    const next = this.#each[lane]! + 1;
    this.#ends[lane] = constant[lane]! + perSample[lane]! * next;
    return next <= capacity[lane]!;
  }

  #sink(at: number): void {
    const heap = this.#heap;
    const ends = this.#ends;
    const lane = heap[at]!;
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
function startOf(samples: number, { count, constant, perSample, capacity }: Lanes): Float64Array {
  const each = new Float64Array(count.length);
  const open = new Uint8Array(count.length).fill(1);
  for (let left = samples; ;) {
    const level = fluidLevel(left, { count, constant, perSample }, open);
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
    if (!over) return each;
  }
}

/** The time at which open lanes that take fractions of samples would all be done; those that start later are left out. */
function fluidLevel(
  samples: number,
  { count, constant, perSample }: Omit<Lanes, 'capacity'>,
  open: Uint8Array,
): number {
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
