import type { ValueErrorIterator } from '@sinclair/typebox/errors';
import { UserError } from '../../base/index.js';

/** A trace that is no trace: says what was found and where. */
export class TraceError extends UserError {
  constructor(message: string) {
    super('bad_trace', message);
  }

  /** From what a schema says of a document; `accepted` is what would be. */
  static at(errors: ValueErrorIterator, accepted: string): TraceError {
    const { path = '', value } = errors.First() ?? {};
    const where = path === '' ? 'the document' : path.slice(1).replaceAll('/', '.');
    const found = value === undefined ? 'nothing' : JSON.stringify(value).slice(0, 80);
    return new TraceError(`${where}: found ${found}; ${accepted} would be accepted`);
  }
}
