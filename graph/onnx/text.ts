import { modelError, type Place } from './fail.js';

/** The longest name or string attribute that is read: names are repeated in messages and in unrolled loops. */
const LONGEST = 4096;

/** Control characters, line breaks, and marks that change the direction of writing. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/;

/**
 * Makes sure that a text of the file can stand in a message, a log and a terminal as it is.
 * @returns the text
 * @throws ModelError, in which the text is escaped
 */
export function checkText(text: string, what: string, place: Place): string {
  if (text.length <= LONGEST && !UNSAFE.test(text)) return text;
  const start = escaped(text.slice(0, 60));
  throw modelError(
    { source: place.source },
    text.length > LONGEST
      ? `${what} has a text of ${text.length} characters ("${start}..."); at most ${LONGEST} would be accepted`
      : `${what} has a text with a control character ("${start}"); printable text would be accepted`,
  );
}

function escaped(text: string): string {
  return Array.from(text, (char) =>
    UNSAFE.test(char) ? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}` : char,
  ).join('');
}
