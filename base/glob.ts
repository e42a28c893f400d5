/**
 * Whether all of `text` fits `pattern`: `*` stands for any run of characters, also none, `?` for one; every other
 * character for itself. O(length of the text x length of the pattern) at worst, whatever the pattern.
 */
export function matchesGlob(pattern: string, text: string): boolean {
  let p = 0;
  let star = -1; // place of the last `*` passed, and how much of the text was behind it
  let resume = 0;
  for (let i = 0; i < text.length;) {
    if (pattern[p] === '*') {
      star = p++;
      resume = i;
    } else if (p < pattern.length && (pattern[p] === '?' || pattern[p] === text[i])) {
      p++;
      i++;
    } else if (star >= 0) {
      p = star + 1; // the last `*` takes one character more
      i = ++resume;
    } else {
      return false;
    }
  }
  while (pattern[p] === '*') p++;
  return p === pattern.length;
}
