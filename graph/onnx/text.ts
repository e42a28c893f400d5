import { modelError, type Place } from './fail.js';
import { isPrintable, printable } from './printable.js';

/** The longest name or string attribute that is read: names are repeated in messages and in unrolled loops. */
const LONGEST = 4096;
/** How much of another is shown. */
const SHOWN = 60;

/**
 * Makes sure that a text of the file can stand in a message, a log and a terminal as it is.
 * @returns the text
 * @throws ModelError, in which the text is escaped
 */
export function checkText(text: string, what: string, place: Place): string {
  if (text.length <= LONGEST && isPrintable(text)) return text;
  const start = printable(text, SHOWN);
  throw modelError(
    { source: place.source },
    text.length > LONGEST
      ? `${what} has a text of ${text.length} characters ("${start}"); at most ${LONGEST} would be accepted`
      : `${what} has a text with a control character ("${start}"); printable text would be accepted`,
  );
}
