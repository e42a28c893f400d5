import { InvariantError } from '../../base/index.js';

/** A half-open range of positions in a global batch. */
export interface Share {
  readonly start: number;
  readonly end: number;
}

/**
 * Splits `count` samples over ranks in proportion to their weights, in whole samples: each rank first gets the whole
 * part of its quota, then the ranks with the largest remainders one more (ties to the lower rank).
 *
 * Guarantees: the counts sum to `count` exactly; a weight of 0 gets 0; each count differs from its quota by less
 * than 1; the same on every machine. A rank with a small weight may get 0: of a batch, or of an epoch's short last one.
 * @param weights one for each rank, finite and not negative, not all 0
 * @throws InvariantError when the weights or the count are not as above
 * @see https://en.wikipedia.org/wiki/Largest_remainder_method (Hamilton's)
 */
export function splitBatch(count: number, weights: readonly number[]): number[] {
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  const fine = Number.isSafeInteger(count) && count >= 0 && weights.every((weight) => weight >= 0);
  if (!fine || !(total > 0) || !Number.isFinite(total)) {
    throw new InvariantError(`cannot split ${count} samples by weights ${weights.slice(0, 8).join(', ')}`);
  }
  const quotas = weights.map((weight) => (weight / total) * count);
  const counts = quotas.map(Math.floor);
  const left = count - counts.reduce((sum, share) => sum + share, 0);
  const byRemainder = quotas
    .map((quota, rank) => ({ rank, remainder: quota - Math.floor(quota) }))
    .filter(({ rank }) => weights[rank]! > 0)
    .sort((a, b) => b.remainder - a.remainder || a.rank - b.rank);
  for (let i = 0; i < left; i++) counts[byRemainder[i % byRemainder.length]!.rank]!++;
  // rounding can lift a quota to the next whole number, and the sum one above: take it from the smallest remainder
  for (let i = left; i < 0; i++) {
    const last = byRemainder.findLast(({ rank }) => counts[rank]! > 0)!;
    counts[last.rank]!--;
  }
  return counts;
}

/** The contiguous range of the batch that each rank takes, in the order of the ranks. */
export function sharesOf(counts: readonly number[]): Share[] {
  let next = 0;
  return counts.map((count) => {
    const start = next;
    next += count;
    return { start, end: next };
  });
}

/** Sizes of the batches that a run meets: a full one, and an epoch's short last one where training gets that far. */
export function batchSizes(rows: number, batch: number, steps: number): readonly number[] {
  const full = Math.min(batch, rows);
  const left = rows % batch;
  return left > 0 && left !== full && steps >= Math.ceil(rows / batch) ? [full, left] : [full];
}

/**
 * The fewest samples that a rank ever has of a batch, if it has any: in the last step of an epoch too, which may be
 * short, where training gets that far.
 * @param rows of the data set
 */
export function leastShare(
  rows: number,
  {
    batch,
    steps,
    weights,
  }: { readonly batch: number; readonly steps: number; readonly weights: readonly number[] },
): number {
  const sizes = batchSizes(rows, batch, steps);
  return Math.min(...sizes.flatMap((size) => splitBatch(size, weights)).filter((count) => count > 0));
}
