import type { DataContext } from './dataset.js';
import type { Dimension } from './fit.js';
import { defaultLimits, type LocalFile, type StorageLimits } from './storage/open.js';

/** An input as the model declares it. The first dimension is the batch. */
export interface InputWish {
  readonly name: string;
  /** An ONNX element type; data can feed float32, float64, int32, int64 and bool. */
  readonly dtype: string;
  readonly shape: readonly Dimension[];
}

/** What the loss compares the output with. */
export interface TargetWish {
  /** `classes`: int64 class ids (cross_entropy). `values`: float32 (mse, l1, huber, binary cross-entropy). */
  readonly kind: 'classes' | 'values';
  /** The target's dimensions, the first being the batch; without it the file's are taken as they are. */
  readonly shape?: readonly Dimension[];
}

export interface OpenOptions {
  /** Where a file of the dataset's entry lies on this machine, and how messages should call it. */
  readonly resolve: (file: string) => string | LocalFile;
  readonly target: TargetWish;
  /** The model's inputs; without them shapes and types are taken from the files. */
  readonly inputs?: readonly InputWish[];
  /** The training dataset's context, when this is validation data. */
  readonly context?: DataContext;
  readonly limits?: Partial<StorageLimits>;
}

/** `OpenOptions` with the defaults filled in, as each format's opener takes them. */
export interface OpenRequest {
  readonly file: (reference: string) => LocalFile;
  readonly target: TargetWish;
  readonly inputs: readonly InputWish[] | undefined;
  readonly context: DataContext;
  readonly limits: StorageLimits;
}

export function requestOf(options: OpenOptions): OpenRequest {
  return {
    file: (reference) => {
      const found = options.resolve(reference);
      return typeof found === 'string' ? { path: found, name: reference } : found;
    },
    target: options.target,
    inputs: options.inputs,
    context: options.context ?? {},
    limits: { ...defaultLimits, ...options.limits },
  };
}
