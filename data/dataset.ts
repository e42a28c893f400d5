import type { Bytes } from '../base/index.js';

/** Element types that a batch can have; names follow ONNX. `bool` is one byte, 0 or 1. */
export type DataType = 'float32' | 'float64' | 'int32' | 'int64' | 'bool';

/** A caller's buffer: the array type belongs to the tensor's `dtype`. */
export type BatchArray = Float32Array | Float64Array | Int32Array | BigInt64Array | Uint8Array;

/** One tensor of a sample: what a batch has after its first axis. */
export interface SampleTensor {
  /** The model's input that it feeds; absent where the model has one input and the data does not name it. */
  readonly name?: string;
  readonly dtype: DataType;
  /** Dimensions without the batch axis; [] is one number a sample. */
  readonly sampleShape: readonly number[];
}

/** Row-major buffers for one batch, one for each input and one for the target. */
export interface Batch {
  readonly inputs: readonly BatchArray[];
  readonly target: BatchArray;
}

/**
 * What was learnt from the training data and must be the same for validation and serving. Plain JSON: give the
 * training dataset's to whoever opens the validation data.
 */
export interface DataContext {
  /** text: the characters in the order of their token ids. */
  readonly vocabulary?: readonly string[];
  /** csv with `normalize: standard`: of each feature, in order, before it is normalized. */
  readonly statistics?: { readonly mean: readonly number[]; readonly std: readonly number[] };
  /** csv with `categories`: the values of each such column, in the order of their one-hot places. */
  readonly categories?: Readonly<Record<string, readonly string[]>>;
}

/** Where a value came from, as words for a message and as numbers for a script. */
export interface ValuePlace {
  readonly file: string;
  /** As the format counts: `line 17`, `row 16 (from 0)`. */
  readonly rowLabel: string;
  readonly row: number;
  /** As the format names it: `column "height"`, `element [0, 3, 5]`; empty for a single number. */
  readonly columnLabel: string;
  readonly column: string | number;
}

/** An opened dataset: `length` samples in the order of the file. */
export interface Dataset {
  readonly length: number;
  readonly inputs: readonly SampleTensor[];
  readonly target: SampleTensor;
  /** How many classes (or tokens) there are, where the data itself says. */
  readonly classes?: number;
  readonly context: DataContext;
  /** Memory held now, shared parts counted once. Buffers given to `read` are the caller's. */
  readonly bytes: Bytes;

  /**
   * Writes the samples `indices[start, end)` into the first `end - start` rows of `out`.
   * Blocks for as long as a file is read where it lies; allocates nothing that grows with the batch.
   * @throws InvariantError when an index is outside [0, length) or a buffer is of another type or too short
   * @throws DataError `data_truncated` when a file that is read in place was changed meanwhile
   */
  read(indices: ArrayLike<number>, start: number, end: number, out: Batch): void;

  /** Names the place of one element of a sample, of input number `tensor` or of the target. */
  place(row: number, tensor: number | 'target', element: number): ValuePlace;

  close(): void;
}

/** Buffers for batches of up to `rows` samples. */
export function allocateBatch(dataset: Pick<Dataset, 'inputs' | 'target'>, rows: number): Batch {
  return {
    inputs: dataset.inputs.map((input) => allocate(input, rows)),
    target: allocate(dataset.target, rows),
  };
}

export function elementsOf(sampleShape: readonly number[]): number {
  let count = 1;
  for (const dim of sampleShape) count *= dim;
  return count;
}

function allocate(tensor: SampleTensor, rows: number): BatchArray {
  const count = rows * elementsOf(tensor.sampleShape);
  switch (tensor.dtype) {
    case 'float32':
      return new Float32Array(count);
    case 'float64':
      return new Float64Array(count);
    case 'int32':
      return new Int32Array(count);
    case 'int64':
      return new BigInt64Array(count);
    case 'bool':
      return new Uint8Array(count);
  }
}
