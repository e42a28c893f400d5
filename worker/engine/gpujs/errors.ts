import { PeerError, UserError } from '../../../base/index.js';

/** A form of an operator that its rule has no kernel for; the message continues "node X: ". */
export class UnsupportedFormError extends UserError {
  constructor(reason: string) {
    super('unsupported_form', reason);
  }
}

/** What a rule must know while it writes kernels. @throws UnsupportedFormError where it is not known before a run */
export function known(value: readonly number[] | undefined, what: string): readonly number[] {
  if (value !== undefined) return value;
  throw new UnsupportedFormError(`its ${what} must follow from constants and shapes alone`);
}

/** gpu.js does something else than it was asked for, or says that something failed. */
export class DegradedError extends PeerError {
  constructor(reason: string) {
    super('gpujs_degraded', reason);
  }
}
