/** The middle of some values: of an even number the mean of the two in the middle. @param values at least one; not changed */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  return (sorted[(sorted.length - 1) >> 1]! + sorted[sorted.length >> 1]!) / 2;
}

/** The value that a quarter of them is not above: of durations, to which others' work only ever adds. @param values at least one; not changed */
export function lowerQuartile(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[(values.length - 1) >> 2]!;
}
