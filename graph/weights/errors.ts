import { UserError, type ErrorDetails } from '../../base/index.js';

/** A weights file cannot be read: truncated, not safetensors, inconsistent. */
export class WeightsError extends UserError {
  constructor(message: string, details?: ErrorDetails) {
    super('bad_weights', message, details);
  }
}
