/** Neighbouring elements of a bucket with the same settings, half-open. */
export interface Span {
  readonly start: number;
  readonly end: number;
  /** Index of the settings. */
  readonly group: number;
}

/**
 * A rank's range of a bucket as spans of one update each, as few as there can be: one where all parameters have the
 * same settings. They tile the range. Padding goes with the parameter before it: it is zero and stays so whatever
 * the settings.
 * @param places where the bucket's parameters start and in which group they are, by offset, the first at 0
 */
export function spansWithin(
  places: readonly { readonly offset: number; readonly group: number }[],
  range: { readonly start: number; readonly end: number },
): readonly Span[] {
  const spans: { start: number; end: number; group: number }[] = [];
  places.forEach(({ offset, group }, i) => {
    const start = Math.max(range.start, offset);
    const end = Math.min(range.end, places[i + 1]?.offset ?? Infinity);
    if (end <= start) return;
    const last = spans.at(-1);
    if (last?.group === group) last.end = end;
    else spans.push({ start, end, group });
  });
  return spans;
}
