/** Equal devices of a stage, and what samples cost them: seconds = constant + perSample x samples. */
export interface Lane {
  readonly count: number;
  readonly constant: number;
  readonly perSample: number;
  /** The most samples that each of them has memory for. */
  readonly capacity: number;
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
 * What no device can exceed at the optimum is given at once (the fluid optimum, rounded down), the rest
 * goes one sample at a time to whoever would be done first. Being exact, its `seconds` never grow when a device gets
 * faster or has more memory. O(lanes^2) at worst, lanes being groups of equal devices; the devices do not matter.
 * @param least samples that every device takes, 0 or 1
 * @returns undefined where the capacities do not add up, or a device has no room for `least`
 */
export function balance(samples: number, lanes: readonly Lane[], least: 0 | 1): Balance | undefined {
  if (least === 0) return fill(samples, lanes);
  const devices = lanes.reduce((sum, { count }) => sum + count, 0);
  if (samples < devices || lanes.some(({ capacity }) => capacity < 1)) return undefined;
  const rest = fill(
    samples - devices,
    lanes.map((lane) => ({
      ...lane,
      constant: lane.constant + lane.perSample,
      capacity: lane.capacity - 1,
    })),
  );
  if (!rest) return undefined;
  return {
    seconds: lanes.reduce((most, lane) => Math.max(most, lane.constant + lane.perSample), rest.seconds),
    shares: rest.shares.map(({ each, more }) => ({ each: each + 1, more })),
    limited: rest.limited,
  };
}

function fill(samples: number, lanes: readonly Lane[]): Balance | undefined {
  const room = lanes.reduce((sum, { count, capacity }) => sum + count * capacity, 0);
  if (!(room >= samples)) return undefined;
  const shares = lanes.map(startOf(samples, lanes));
  let left = samples - shares.reduce((sum, { each }, i) => sum + each * lanes[i]!.count, 0);
  while (left > 0) {
    const next = soonest(lanes, shares);
    const share = shares[next]!;
    const given = Math.min(left, lanes[next]!.count - share.more);
    left -= given;
    share.more += given;
    if (share.more < lanes[next]!.count) continue;
    share.each++;
    share.more = 0;
  }
  const seconds = shares.reduce((most, { each, more }, i) => {
    const mine = each + (more > 0 ? 1 : 0);
    return mine === 0 ? most : Math.max(most, lanes[i]!.constant + lanes[i]!.perSample * mine);
  }, 0);
  return { seconds, shares, limited: shares.some(({ each }, i) => each >= lanes[i]!.capacity) };
}

/** Where the next sample would be done first. */
function soonest(lanes: readonly Lane[], shares: readonly LaneShare[]): number {
  let best = -1;
  let bestEnd = Infinity;
  lanes.forEach((lane, i) => {
    const { each } = shares[i]!;
    const end = lane.constant + lane.perSample * (each + 1);
    if (each >= lane.capacity || (best >= 0 && end >= bestEnd)) return;
    best = i;
    bestEnd = end;
  });
  return best;
}

/** Shares that are no larger than at the optimum, and not far below. */
function startOf(samples: number, lanes: readonly Lane[]): (lane: Lane) => { each: number; more: number } {
  const full = new Set<Lane>();
  for (;;) {
    const left = samples - [...full].reduce((sum, { count, capacity }) => sum + count * capacity, 0);
    const level = fluidLevel(
      left,
      lanes.filter((lane) => !full.has(lane)),
    );
    const wants = (lane: Lane) =>
      level > lane.constant ? Math.floor((level - lane.constant) / lane.perSample - 1e-9) : 0;
    const over = lanes.filter((lane) => !full.has(lane) && wants(lane) >= lane.capacity);
    if (over.length === 0) {
      return (lane) => ({ each: full.has(lane) ? lane.capacity : Math.max(0, wants(lane)), more: 0 });
    }
    for (const lane of over) full.add(lane);
  }
}

/** The time at which lanes that take fractions of samples would all be done; those that start later are left out. */
function fluidLevel(samples: number, lanes: readonly Lane[]): number {
  let open = lanes;
  for (;;) {
    let rate = 0;
    let ahead = 0;
    for (const { count, constant, perSample } of open) {
      if (perSample === 0) return 0; // one takes everything at no cost: whole samples find it
      rate += count / perSample;
      ahead += (count * constant) / perSample;
    }
    if (rate === 0) return 0;
    const level = (samples + ahead) / rate;
    const late = open.filter(({ constant }) => constant >= level);
    if (late.length === 0 || late.length === open.length) return late.length === 0 ? level : 0;
    open = open.filter(({ constant }) => constant < level);
  }
}
