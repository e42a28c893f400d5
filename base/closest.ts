/** Levenshtein's distance, with one row of the table at a time. */
export function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
    }
    row = next;
  }
  return row[b.length]!;
}

/** Names longer than this, and lists longer than that, are compared in part: what they are for is a message. */
const LONGEST = 80;
const MOST = 5000;

/**
 * The known names that `text` resembles most, best first: as a whole, or one's beginning or end. Wildcards (`*`, `?`)
 * of the text count for nothing. For messages: "the closest are ...".
 */
export function closest(text: string, known: Iterable<string>, count = 3): readonly string[] {
  const wanted = text.replace(/[*?]+/g, '').slice(0, LONGEST).toLowerCase();
  const score = (name: string): number => {
    const whole = name.slice(0, LONGEST).toLowerCase();
    const ends = [whole.slice(0, wanted.length), whole.slice(Math.max(0, whole.length - wanted.length))];
    // a part that fits is a little less than the whole
    return Math.min(editDistance(wanted, whole), ...ends.map((end) => editDistance(wanted, end) + 0.5));
  };
  return [...known]
    .slice(0, MOST)
    .map((name) => ({ name, distance: score(name) }))
    .sort((a, b) => a.distance - b.distance)
    .slice(0, count)
    .map(({ name }) => name);
}
