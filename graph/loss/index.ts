export { attachLoss, targetTypeOf, type LossOptions } from './attach.js';
export { LossError } from './errors.js';
export { IGNORED_TARGET, LOSS_KINDS, type AttachedLoss, type LossKind } from './kinds.js';
