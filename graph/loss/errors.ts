import { UserError } from '../../base/index.js';

/** The model's output, the target and the loss do not fit together. */
export class LossError extends UserError {
  constructor(message: string, ids: Readonly<Record<string, unknown>>) {
    super('bad_loss', message, { ids });
  }
}
