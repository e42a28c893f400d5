import { UserError, type ErrorDetails } from '../../base/index.js';

/** What was asked to be measured cannot be. */
export class BenchError extends UserError {
  constructor(message: string, details?: ErrorDetails) {
    super('bad_bench', message, details);
  }
}
