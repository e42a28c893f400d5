import type { Reference } from '../operators/definition.js';

/** What a tensor's elements are like. NaN and infinite ones count in nothing but their own numbers. */
export interface Statistics {
  readonly count: number;
  /** Of the finite elements; null where there is none. */
  readonly min: number | null;
  readonly max: number | null;
  readonly mean: number | null;
  /** Population: sqrt of the mean squared distance from the mean. */
  readonly std: number | null;
  readonly zeros: number;
  readonly nan: number;
  /** Infinities of either sign. */
  readonly infinite: number;
}

/** Two passes over the elements, so that a large mean does not swallow a small deviation. */
export function statisticsOf({ data }: Pick<Reference, 'data'>): Statistics {
  let [min, max, sum, zeros, nan, infinite] = [Infinity, -Infinity, 0, 0, 0, 0];
  for (const x of data) {
    if (Number.isNaN(x)) nan++;
    else if (!Number.isFinite(x)) infinite++;
    else {
      if (x === 0) zeros++;
      if (x < min) min = x;
      if (x > max) max = x;
      sum += x;
    }
  }
  const finite = data.length - nan - infinite;
  const counts = { count: data.length, zeros, nan, infinite };
  if (finite === 0) return { ...counts, min: null, max: null, mean: null, std: null };
  const mean = sum / finite;
  let squares = 0;
  for (const x of data) if (Number.isFinite(x)) squares += (x - mean) ** 2;
  return { ...counts, min, max, mean, std: Math.sqrt(squares / finite) };
}
