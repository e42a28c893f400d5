import { UserError } from '../../base/index.js';

/** The job's optimizer asks for something that its rule does not have. */
export class OptimizerError extends UserError {
  constructor(message: string, ids: Readonly<Record<string, unknown>> = {}) {
    super('bad_optimizer', message, { ids });
  }
}
