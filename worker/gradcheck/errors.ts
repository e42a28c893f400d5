import { UserError, type ErrorDetails } from '../../base/index.js';

/** The case's folder lacks a file or a value, or they do not fit each other. */
export class CaseError extends UserError {
  constructor(message: string, details?: ErrorDetails) {
    super('bad_case', message, details);
  }
}
