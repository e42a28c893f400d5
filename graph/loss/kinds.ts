import type { TensorType } from '../ir/tensor.js';

/** The losses that can be attached to a model's output; each is a mean, as PyTorch's default reduction is. */
export const LOSS_KINDS = [
  'cross_entropy',
  'mse',
  'l1',
  'huber',
  'binary_cross_entropy_with_logits',
] as const;

export type LossKind = (typeof LOSS_KINDS)[number];

/** Targets of cross-entropy with this value count for nothing, as in PyTorch. */
export const IGNORED_TARGET = -100;

/** A loss in a graph: its value, and how the backward pass begins. */
export interface AttachedLoss {
  /** The name of the target's input, just declared, and its type. */
  readonly target: { readonly name: string; readonly type: TensorType };
  /** The loss: a scalar of the output's element type, the mean over the elements. */
  readonly loss: string;
  /** Writes d(scale * loss) / d(output), of the output's type; `scale` is a scalar value. */
  gradient(scale: string): string;
}
