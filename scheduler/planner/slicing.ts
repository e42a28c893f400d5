/** More micro-batches than this gain nothing: the bubble of 16 stages is then below 3 %. */
const MOST_MICRO_BATCHES = 512;
/** So many counts are tried at most. */
const MOST_COUNTS = 10;

/**
 * Numbers of micro-batches worth a try: divisors of the batch and powers of two, 1 and the largest among them, evenly
 * spread over their logarithms. Depends on the batch alone.
 */
export function microBatchCounts(batch: number): readonly number[] {
  const most = Math.min(batch, MOST_MICRO_BATCHES);
  const counts: number[] = [];
  for (let count = 1; count <= most; count++) {
    const powerOfTwo = (count & (count - 1)) === 0;
    if (batch % count === 0 || powerOfTwo || count === most) counts.push(count);
  }
  if (counts.length <= MOST_COUNTS) return counts;
  const wanted = Array.from({ length: MOST_COUNTS }, (_, i) => most ** (i / (MOST_COUNTS - 1)));
  const distance = (count: number, target: number) => Math.abs(Math.log(count / target));
  const nearest = wanted.map((target) =>
    counts.reduce((best, count) => (distance(count, target) < distance(best, target) ? count : best)),
  );
  return [...new Set(nearest)];
}

/** Samples of each micro-batch: as equal as possible, the larger ones first. */
export function microBatchSizes(batch: number, microBatches: number): readonly number[] {
  const [each, more] = [Math.floor(batch / microBatches), batch % microBatches];
  return Array.from({ length: microBatches }, (_, i) => each + (i < more ? 1 : 0));
}
