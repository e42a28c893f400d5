import { dataFromBytes, byteLengthOf, LOSS_SCALE, type TensorData } from '../../graph/index.js';
import type { Batch, BatchArray, Dataset } from '../../data/index.js';
import type { BatchLayout, Field } from './batch-layout.js';
import { fillDropoutMask } from './dropout.js';

/** A dropout mask that a step takes as an input. */
export interface Mask {
  readonly input: string;
  readonly ratio: number;
  /** Its number among the model's masks. */
  readonly index: number;
}

/** Names of the values that a step takes from the data. */
export interface FeedNames {
  /** The model's inputs, in the data set's order. */
  readonly inputs: readonly string[];
  readonly target: string;
  /** Whether there is LOSS_SCALE, the scalar that weights the gradients: not in a forward pass. */
  readonly scaled?: boolean;
  readonly masks: readonly Mask[];
}

/** Which samples, and where they stand in the global batch. */
export interface Feed {
  readonly indices: ArrayLike<number>;
  /** Place of the first of them in the global batch. */
  readonly first: number;
  readonly lossScale: number;
  readonly seed: number;
  readonly step: number;
}

/** Writes a batch into a buffer laid out for it. */
export function feed(
  buffer: ArrayBuffer,
  layout: BatchLayout,
  dataset: Dataset,
  names: FeedNames,
  what: Feed,
): void {
  const batch: Batch = {
    inputs: names.inputs.map((name) => view(buffer, layout, name) as BatchArray),
    target: view(buffer, layout, names.target) as BatchArray,
  };
  dataset.read(what.indices, 0, what.indices.length, batch);
  if (names.scaled) feedScale(buffer, layout, what);
  feedMasks(buffer, layout, names.masks, what);
}

/** Writes the scalar that weights the gradients. */
export function feedScale(
  buffer: ArrayBuffer,
  layout: BatchLayout,
  { lossScale }: Pick<Feed, 'lossScale'>,
): void {
  (view(buffer, layout, LOSS_SCALE) as Float32Array)[0] = lossScale;
}

/** Draws the dropout masks of a batch. */
export function feedMasks(
  buffer: ArrayBuffer,
  layout: BatchLayout,
  masks: readonly Mask[],
  { seed, step, first: firstSample, indices }: Feed,
): void {
  for (const { input, ratio, index } of masks) {
    const mask = view(buffer, layout, input) as Float32Array;
    fillDropoutMask(mask, indices.length, { seed, step, index, firstSample, ratio });
  }
}

/** A field of a batch's buffer as elements. */
export function view(buffer: ArrayBuffer, layout: BatchLayout, name: string): TensorData {
  const field: Field = layout.fields.get(name)!;
  return dataFromBytes(field.dtype, new Uint8Array(buffer, field.byteOffset, byteLengthOf(field)));
}
