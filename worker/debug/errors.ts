import { UserError, type ErrorDetails } from '../../base/index.js';

/** A name that nothing in the step has; the message says which come close. */
export class UnknownNameError extends UserError {
  constructor(message: string, details?: ErrorDetails) {
    super('unknown_name', message, details);
  }
}
