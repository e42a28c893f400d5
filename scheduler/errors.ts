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

/** No device can run some part of the model, or none that can has the rest's company: memory would not help. */
export class CannotRunError extends UserError {
  constructor(
    message: string,
    details: {
      readonly devices: readonly string[];
      readonly operators: readonly string[];
      readonly nodes: readonly string[];
    },
  ) {
    super('cannot_run', message, { ids: { ...details } });
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

/** The shares that the job asks for cannot be given, on whatever devices. */
export class ShareError extends UserError {
  constructor(message: string) {
    super('bad_shares', message, { ids: { field: 'parallelism.shares' } });
  }
}

/**
 * Devices cannot be put together as the job asks. Where `needs.wanted` is more than `needs.joined`, it may fit once others
 * have joined.
 */
export class PlacementError extends UserError {
  constructor(message: string, needs: { readonly wanted?: number; readonly joined?: number } = {}) {
    super('bad_placement', message, { ids: { field: 'parallelism', ...needs } });
  }
}
