import { UserError } from '../../base/index.js';

/** A trace that is no trace: says what was found and where. */
export class TraceError extends UserError {
  constructor(message: string) {
    super('bad_trace', message);
  }
}
