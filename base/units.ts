import { UserError } from './errors.js';

/** Bytes, seconds and floating-point operations: plain numbers, named where they are used. */
export type Bytes = number;
export type Seconds = number;
export type Flops = number;

const SUFFIX: Readonly<Record<string, number>> = {
  '': 1,
  b: 1,
  kb: 1e3,
  mb: 1e6,
  gb: 1e9,
  tb: 1e12,
  kib: 2 ** 10,
  mib: 2 ** 20,
  gib: 2 ** 30,
  tib: 2 ** 40,
};

/**
 * Reads a size: `512MiB`, `4GiB`, `2e9`, `100MB` or a plain number of bytes.
 * @throws UserError `bad_size` naming the text and what would be accepted
 */
export function parseBytes(text: string | number): Bytes {
  const match = /^\s*(\d+(?:\.\d+)?(?:e\d+)?)\s*([kmgt]?i?b?)\s*$/i.exec(String(text));
  const factor = match ? SUFFIX[match[2]!.toLowerCase()] : undefined;
  const bytes = match && factor !== undefined ? Math.round(Number(match[1]) * factor) : NaN;
  if (!Number.isSafeInteger(bytes)) {
    throw new UserError('bad_size', `"${text}" is not a size: write bytes as 512MiB, 4GiB, 100MB or 2e9`);
  }
  return bytes;
}

/** A size for people: `1.5 GiB`. */
export function formatBytes(bytes: Bytes): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (Math.abs(value) >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  return `${unit === 0 ? String(value) : value.toFixed(value < 10 ? 2 : value < 100 ? 1 : 0)} ${units[unit]!}`;
}

/** A duration for people: `420 µs`, `2.31 ms`, `850 ms`, `12.3 s`, `4 min 05 s`, `2 h 10 min`. */
export function formatSeconds(seconds: Seconds): string {
  const milliseconds = seconds * 1000;
  if (milliseconds > 0 && milliseconds < 1) return `${Math.round(milliseconds * 1000)} µs`;
  if (seconds < 1) {
    const digits = milliseconds === 0 ? 0 : milliseconds < 10 ? 2 : milliseconds < 100 ? 1 : 0;
    return `${milliseconds.toFixed(digits)} ms`;
  }
  if (seconds < 60) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const whole = Math.round(seconds);
  const pad = (n: number) => String(n).padStart(2, '0');
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${pad(whole % 60)} s`;
  return `${Math.floor(whole / 3600)} h ${pad(Math.floor((whole % 3600) / 60))} min`;
}
