import { byteLengthOf, type DataType } from '../../graph/index.js';
import { ALIGNMENT_BYTES } from '../../scheduler/index.js';

/** A value of one step that travels between the threads: an input, the target, a mask, the loss. */
export interface Field {
  readonly name: string;
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly byteOffset: number;
}

/** All that one step takes besides parameters, in one buffer. */
export interface BatchLayout {
  readonly bytes: number;
  readonly fields: ReadonlyMap<string, Field>;
}

/** Places values one after the other, each aligned. */
export function layoutBatch(
  values: readonly { readonly name: string; readonly dtype: DataType; readonly shape: readonly number[] }[],
): BatchLayout {
  const fields = new Map<string, Field>();
  let byteOffset = 0;
  for (const { name, dtype, shape } of values) {
    fields.set(name, { name, dtype, shape, byteOffset });
    byteOffset += Math.ceil(byteLengthOf({ dtype, shape }) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  }
  return { bytes: Math.max(byteOffset, ALIGNMENT_BYTES), fields };
}
