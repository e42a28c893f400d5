/** table[k][i] is the largest of values [i, i + 2^k). O(n log n). */
export function sparseMaxima(values: readonly number[]): readonly Float64Array[] {
  const table = [Float64Array.from(values)];
  for (let width = 1; 2 * width <= values.length; width *= 2) {
    const last = table.at(-1)!;
    const next = new Float64Array(values.length - 2 * width + 1);
    for (let i = 0; i < next.length; i++) next[i] = Math.max(last[i]!, last[i + width]!);
    table.push(next);
  }
  return table;
}

/** The largest of values [from, to), which is not empty. O(1). */
export function maximumOf(table: readonly Float64Array[], from: number, to: number): number {
  const level = 31 - Math.clz32(to - from);
  const row = table[level]!;
  return Math.max(row[from]!, row[to - (1 << level)]!);
}
