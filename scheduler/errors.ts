import { UserError, formatBytes, type Bytes } from '../base/index.js';

/** No plan fits the budgets. */
export class BudgetTooSmallError extends UserError {
  constructor(
    readonly shortBytes: Bytes,
    who: string,
    advice: string,
  ) {
    super('budget_too_small', `${who}: short by ${formatBytes(shortBytes)}; ${advice}`, {
      ids: { shortBytes },
    });
  }
}

/** The batch cannot be shared as the job asks. */
export class BatchTooSmallError extends UserError {
  constructor(batch: number, devices: number) {
    super(
      'batch_too_small',
      `batch: ${batch} is smaller than the ${devices} devices that share it; ` +
        `use a batch of at least ${devices}, or fewer devices (parallelism: { data: ${Math.max(1, batch)} })`,
      { ids: { field: 'batch', batch, devices } },
    );
  }
}

/** The job asks for more devices than there are, or shares that do not match them. */
export class PlacementError extends UserError {
  constructor(message: string) {
    super('bad_placement', message, { ids: { field: 'parallelism' } });
  }
}
