import type { Seconds } from '../../base/index.js';

/** Where an axis is marked, and in what unit its numbers are written. */
export interface Axis {
  readonly unit: 's' | 'ms' | 'µs';
  readonly ticks: readonly { readonly seconds: Seconds; readonly label: string }[];
}

/** At most `most` + 1 ticks from 0 to `length`, at 1, 2 or 5 times a power of ten. */
export function axisOf(length: Seconds, most: number): Axis {
  const { unit, scale } = unitOf(length);
  if (!(length > 0)) return { unit, ticks: [{ seconds: 0, label: '0' }] };
  const rough = (length * scale) / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = power * (rough <= power ? 1 : rough <= 2 * power ? 2 : rough <= 5 * power ? 5 : 10);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const count = Math.floor((length * scale) / step + 1e-9);
  return {
    unit,
    ticks: Array.from({ length: count + 1 }, (_, i) => {
      return { seconds: (i * step) / scale, label: (i * step).toFixed(digits) };
    }),
  };
}

/** A duration to three digits in its unit: `12.3 ms`. */
export function formatDuration(seconds: Seconds): string {
  const { unit, scale } = unitOf(seconds);
  const value = seconds * scale;
  return `${value >= 100 ? value.toFixed(0) : Number(value.toPrecision(3))} ${unit}`;
}

function unitOf(seconds: Seconds): { readonly unit: Axis['unit']; readonly scale: number } {
  if (seconds >= 1) return { unit: 's', scale: 1 };
  return seconds >= 1e-3 ? { unit: 'ms', scale: 1e3 } : { unit: 'µs', scale: 1e6 };
}

/** `27.3 %`. */
export function formatShare(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
