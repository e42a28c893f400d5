import { UserError } from '../../base/index.js';

/** A model cannot be cut into the stages that were asked for. */
export class StageError extends UserError {
  constructor(message: string) {
    super('bad_stages', message);
  }
}
