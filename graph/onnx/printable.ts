/** Control characters, line breaks, and marks that change the direction of writing. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;

/** Whether a text can stand in a message, a log and a terminal as it is. */
export function isPrintable(text: string): boolean {
  return !UNSAFE.test(text);
}

/** The text with everything escaped that is not printable, and cut where it is longer than `most`. */
export function printable(text: string, most: number): string {
  const start = text.length > most ? `${text.slice(0, most)}...` : text;
  if (isPrintable(start)) return start;
  return Array.from(start, (char) =>
    isPrintable(char) ? char : `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  ).join('');
}
