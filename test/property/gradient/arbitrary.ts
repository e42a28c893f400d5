import fc from 'fast-check';
import { attribute, sizeOf, type Attributes } from '../../../graph/index.js';
import type { Operand } from './check.js';

/** Values that keep away from the kinks at whole numbers and from each other. */
export function operand(shape: readonly number[], low = -2, high = 2): fc.Arbitrary<Operand> {
  const size = sizeOf(shape);
  return fc
    .array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: size, maxLength: size })
    .map((uniform) => {
      const values = uniform.map((u, i) => {
        const value = low + (high - low) * u;
        // an irrational offset for each place: no two equal, none whole
        const shifted = value + 0.013 * Math.SQRT2 * (i + 1);
        const fraction = shifted - Math.floor(shifted);
        if (fraction < 0.02 || fraction > 0.98) return shifted + 0.05;
        return shifted;
      });
      return { shape, values };
    });
}

export const dims = (maxRank: number, max = 3, minRank = 0) =>
  fc.array(fc.integer({ min: 1, max }), { minLength: minRank, maxLength: maxRank });

export const constants = (
  values: readonly number[],
  shape: readonly number[] = [values.length],
): Operand => ({
  shape,
  values,
  dtype: 'int64',
  constant: true,
});

/** A shape that broadcasts to `shape`: leading axes dropped, others of length 1. */
export function broadcastable(shape: readonly number[]): fc.Arbitrary<number[]> {
  return fc
    .record({
      drop: fc.integer({ min: 0, max: shape.length }),
      ones: fc.array(fc.boolean(), { minLength: shape.length, maxLength: shape.length }),
    })
    .map(({ drop, ones }) => shape.map((dim, i) => (ones[i] ? 1 : dim)).slice(drop));
}

export function permutation(rank: number): fc.Arbitrary<number[]> {
  const axes = Array.from({ length: rank }, (_, i) => i);
  return fc.shuffledSubarray(axes, { minLength: rank, maxLength: rank });
}

/** Attributes from plain values: integers, numbers with a fraction (`float`), texts and lists of integers. */
export function attributes(
  values: Readonly<
    Record<string, number | string | readonly number[] | { readonly float: number } | undefined>
  >,
): Attributes {
  const entries = Object.entries(values).flatMap(([name, value]) => {
    if (value === undefined) return [];
    if (typeof value === 'number') return [[name, attribute.int(value)] as const];
    if (typeof value === 'string') return [[name, attribute.string(value)] as const];
    if ('float' in value) return [[name, attribute.float(value.float)] as const];
    return [[name, attribute.ints(value)] as const];
  });
  return Object.fromEntries(entries);
}
