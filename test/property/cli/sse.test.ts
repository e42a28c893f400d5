import fc from 'fast-check';
import t from 'tap';
import { EventStreamParser, type ServerEvent } from '../../../cli/client/sse.js';

const all = (pieces: readonly string[]): ServerEvent[] => {
  const parser = new EventStreamParser();
  return pieces.flatMap((piece) => parser.push(piece));
};

const word = fc.string({ maxLength: 12 }).map((text) => text.replace(/[\r\n\0]/g, ''));
const event = fc.record({
  type: word.map((text) => text.trim()),
  lines: fc.array(word, { minLength: 1, maxLength: 3 }),
  id: fc.option(word, { nil: undefined }),
});

t.test('events survive any cut and any line ending', async () => {
  fc.assert(
    fc.property(
      fc.array(event, { maxLength: 5 }),
      fc.constantFrom('\n', '\r', '\r\n'),
      fc.array(fc.nat(400), { maxLength: 8 }),
      (events, newline, cuts) => {
        const text = events
          .map(({ type, lines, id }) =>
            [
              ': kept alive',
              `event: ${type}`,
              ...(id === undefined ? [] : [`id: ${id}`]),
              ...lines.map((line) => `data: ${line}`),
              '',
              '',
            ].join(newline),
          )
          .join('');
        // a trailing CR waits for its LF, so let the stream go on
        const whole = `${text}:${newline}`;
        const places = [0, ...cuts.map((cut) => cut % (whole.length + 1)), whole.length].sort(
          (a, b) => a - b,
        );
        const pieces = places.slice(1).map((end, i) => whole.slice(places[i], end));
        let lastId: string | undefined;
        const expected = events.map(({ type, lines, id }): ServerEvent => {
          lastId = id ?? lastId;
          return { type: type === '' ? 'message' : type, data: lines.join('\n'), id: lastId };
        });
        const found = all(pieces);
        if (JSON.stringify(found) !== JSON.stringify(expected)) {
          throw new Error(`${JSON.stringify(found)} is not ${JSON.stringify(expected)}`);
        }
      },
    ),
  );
});

t.test('an unfinished event and one without data are dropped', async (t) => {
  t.strictSame(all(['event: a\n\ndata: x\n']), []);
  t.strictSame(all(['data\n\n']), [{ type: 'message', data: '', id: undefined }]);
});
