import type { Device } from './device.js';

/**
 * Splits `batch` samples over devices in proportion to `weights`, at most `capacity[i]` for device i.
 *
 * Water filling: whoever would exceed its capacity gets just that, the rest is shared among the others;
 * then the largest remainders get the samples that rounding left over. O(n^2) in the worst case, n devices.
 * @returns integer shares that sum to `batch`, or undefined when the capacities do not add up to it
 */
export function splitShares(
  batch: number,
  weights: readonly number[],
  capacity: readonly number[],
): readonly number[] | undefined {
  if (capacity.reduce((sum, most) => sum + most, 0) < batch) return undefined;
  const capped = new Set<number>();
  let ideal: number[];
  for (;;) {
    const left = batch - [...capped].reduce((sum, i) => sum + capacity[i]!, 0);
    const open = weights.reduce((sum, weight, i) => sum + (capped.has(i) ? 0 : weight), 0);
    ideal = weights.map((weight, i) =>
      capped.has(i) ? capacity[i]! : open > 0 ? (left * weight) / open : 0,
    );
    const over = ideal.findIndex((share, i) => !capped.has(i) && share > capacity[i]!);
    if (over < 0) break;
    ideal.forEach((share, i) => {
      if (share > capacity[i]!) capped.add(i);
    });
  }
  const shares = ideal.map((share) => Math.floor(share + 1e-9));
  let left = batch - shares.reduce((sum, share) => sum + share, 0);
  const byRemainder = ideal
    .map((share, i) => ({ i, remainder: share - shares[i]! }))
    .sort((a, b) => b.remainder - a.remainder || a.i - b.i);
  while (left > 0) {
    for (const { i } of byRemainder) {
      if (left === 0) break;
      if (shares[i]! >= capacity[i]!) continue;
      shares[i]!++;
      left--;
    }
  }
  return shares;
}

/** Measured speeds that differ by less than this share are taken for equal: a quarter of a second measures no finer. */
const MEASURING_NOISE = 0.15;

/**
 * Speeds with the noise of their measurement taken out: neighbours in order of speed that lie within 15 % of the
 * slowest of their group get the group's mean. Equal devices then get equal shares, and none waits for another.
 * O(n log n).
 */
export function levelSpeeds(speeds: readonly number[]): readonly number[] {
  const order = speeds.map((_, i) => i).sort((a, b) => speeds[a]! - speeds[b]!);
  const level = new Array<number>(speeds.length);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && speeds[order[end]!]! <= speeds[order[start]!]! * (1 + MEASURING_NOISE))
      end++;
    const group = order.slice(start, end);
    const mean = group.reduce((sum, i) => sum + speeds[i]!, 0) / group.length;
    for (const i of group) level[i] = mean;
    start = end;
  }
  return level;
}

/**
 * Devices as their measurements tell them apart: every rate without the noise of its measurement, nothing but what
 * a planner asks for. O(n log n).
 */
export function levelDevices(devices: readonly Device[]): readonly Device[] {
  const levels = RATES.map((rate) => {
    const known = devices.filter((device) => device[rate] !== undefined);
    const speeds = levelSpeeds(known.map((device) => device[rate]!));
    return new Map(known.map((device, i) => [device, { [rate]: speeds[i]! }]));
  });
  return devices.map((device) => {
    const { id, host, kind, memoryBytes, flops, engine, operators, maxBufferBytes, ownMemory } = device;
    return levels.reduce<Device>((level, of) => ({ ...level, ...of.get(device) }), {
      id,
      host,
      kind,
      memoryBytes,
      flops,
      ...(engine !== undefined && { engine }),
      ...(operators && { operators }),
      ...(maxBufferBytes !== undefined && { maxBufferBytes }),
      ...(ownMemory !== undefined && { ownMemory }),
    });
  });
}

const RATES = ['flops', 'convolutionFlops', 'memoryBandwidthBytesPerSecond', 'launchSeconds'] as const;
