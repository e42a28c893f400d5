import type { Bytes } from '../base/index.js';
import { sizeOf, type TensorType } from '../graph/index.js';

/**
 * Gradients travel in buckets of about so many bytes unless the job says otherwise. A smaller model is one bucket:
 * cutting its step in two costs more (what crosses the cut is copied) than travelling early gains (docs/memory.md).
 */
export const DEFAULT_BUCKET_BYTES: Bytes = 16 * 2 ** 20;

/** Tensors start at multiples of 64 bytes: a cache line, and the widest SIMD load. */
export const ALIGNMENT_BYTES = 64;
const ALIGNMENT_ELEMENTS = ALIGNMENT_BYTES / 4;

/** Where a parameter and its gradient lie: `offset` and `size` are float32 elements within a bucket. */
export interface Place {
  readonly name: string;
  readonly type: TensorType;
  readonly bucket: number;
  readonly offset: number;
  readonly size: number;
}

export interface Bucket {
  /** float32 elements, padding included; a multiple of the alignment. */
  readonly length: number;
  readonly places: readonly Place[];
}

/**
 * Packs parameters into flat buckets, in the order in which the backward pass completes their gradients, so
 * that the first bucket can travel while the rest is still computed.
 *
 * A bucket is closed once it holds `bucketBytes`; a larger parameter has a bucket of its own.
 * Padding between tensors stays zero: it takes part in sums and updates and changes nothing.
 * @param parameters names and types in that order
 */
export function layoutBuckets(
  parameters: readonly { readonly name: string; readonly type: TensorType }[],
  bucketBytes: number,
): readonly Bucket[] {
  const buckets: { length: number; places: Place[] }[] = [];
  let open: { length: number; places: Place[] } | undefined;
  for (const { name, type } of parameters) {
    if (!open) {
      open = { length: 0, places: [] };
      buckets.push(open);
    }
    const size = sizeOf(type.shape);
    open.places.push({ name, type, bucket: buckets.length - 1, offset: open.length, size });
    open.length += Math.ceil(size / ALIGNMENT_ELEMENTS) * ALIGNMENT_ELEMENTS;
    if (open.length * 4 >= bucketBytes) open = undefined;
  }
  return buckets;
}
