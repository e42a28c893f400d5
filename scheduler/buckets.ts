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
  /** The optimizer settings that the parameter is updated with; 0 unless the job has groups. */
  readonly group: number;
}

/** A parameter to be packed. */
export interface Packed {
  readonly name: string;
  readonly type: TensorType;
  readonly group?: number;
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
 * Within a bucket parameters of one group lie side by side, so that one update does for all of them.
 * Padding between tensors stays zero: it takes part in sums and updates and changes nothing.
 * @param parameters names and types in that order
 */
export function layoutBuckets(parameters: readonly Packed[], bucketBytes: number): readonly Bucket[] {
  const buckets: Packed[][] = [];
  let room = 0; // elements that the last bucket still takes
  for (const parameter of parameters) {
    if (room <= 0) {
      buckets.push([]);
      room = bucketBytes / 4;
    }
    buckets.at(-1)!.push(parameter);
    room -= paddedSize(parameter.type);
  }
  return buckets.map(layOut);
}

function layOut(parameters: readonly Packed[], bucket: number): Bucket {
  let length = 0;
  const places = parameters
    .map(({ name, type: { dtype, shape }, group = 0 }) => {
      // the type alone, whatever it was given with: buckets outlive the tensors that are packed
      return { name, type: { dtype, shape }, group, bucket, size: sizeOf(shape) };
    })
    .sort((a, b) => a.group - b.group) // stable: the order within a group stays
    .map((parameter): Place => {
      const offset = length;
      length += paddedSize(parameter.type);
      return { ...parameter, offset };
    });
  return { length, places };
}

function paddedSize({ shape }: TensorType): number {
  return Math.ceil(sizeOf(shape) / ALIGNMENT_ELEMENTS) * ALIGNMENT_ELEMENTS;
}
