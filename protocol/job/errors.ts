import { UserError, type ErrorDetails } from '../../base/index.js';

/** A job names parameters that its model does not have, or leaves none to train. */
export class ParameterNameError extends UserError {
  constructor(message: string, details?: ErrorDetails) {
    super('bad_parameters', message, details);
  }
}
