import { UserError } from '../../base/index.js';

/** A pipeline schedule that does not fit, cannot be read or cannot be followed. */
export class ScheduleError extends UserError {
  constructor(message: string) {
    super('bad_schedule', message);
  }
}
