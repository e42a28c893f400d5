/** One event of a `text/event-stream`. */
export interface ServerEvent {
  readonly type: string;
  readonly data: string;
  /** The id to resume after, as it stood when the event was dispatched. */
  readonly id: string | undefined;
}

/**
 * Reads an event stream from pieces of text, however they were cut.
 *
 * Lines end with LF, CR or CRLF; an event ends with an empty line; an unfinished one at the end is dropped.
 * Specification: HTML Living Standard, 9.2.6 "Interpreting an event stream".
 */
export class EventStreamParser {
  private rest = '';
  private type = '';
  private data: string[] = [];
  private id: string | undefined;

  push(piece: string): ServerEvent[] {
    const events: ServerEvent[] = [];
    this.rest += piece;
    for (;;) {
      const end = this.rest.search(/[\r\n]/);
      if (end < 0) return events;
      // a CR at the very end may be the first half of CRLF: wait for what follows
      if (this.rest[end] === '\r' && end === this.rest.length - 1) return events;
      const width = this.rest.startsWith('\r\n', end) ? 2 : 1;
      const line = this.rest.slice(0, end);
      this.rest = this.rest.slice(end + width);
      const event = this.line(line);
      if (event) events.push(event);
    }
  }

  private line(line: string): ServerEvent | undefined {
    if (line === '') return this.dispatch();
    const colon = line.indexOf(':');
    if (colon === 0) return undefined; // a comment: it only keeps the connection alive
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(colon + 1).replace(/^ /, '');
    if (field === 'event') this.type = value;
    if (field === 'data') this.data.push(value);
    if (field === 'id' && !value.includes('\0')) this.id = value;
    return undefined;
  }

  private dispatch(): ServerEvent | undefined {
    const { type, data } = this;
    this.type = '';
    this.data = [];
    if (data.length === 0) return undefined;
    return { type: type === '' ? 'message' : type, data: data.join('\n'), id: this.id };
  }
}
