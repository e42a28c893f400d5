import { sizeOf, stridesOf } from '../ir/tensor.js';
import { toReference } from '../reference/value.js';
import type { Formula } from './formula.js';

/** Index tuples of GatherND and ScatterND as rows of a table: data reshaped to [count, width]. */
export interface TupleRows {
  /** int64 [tuples]: which row each tuple names, counted from the front. */
  readonly rows: string;
  readonly count: number;
  readonly width: number;
}

/**
 * Computed now where the indices are known, by the graph otherwise.
 * @param shape data's shape: `batch` axes in common with the indices, then the axes that a tuple names, then a row
 * @param indices int64 [...batch, ..., depth], negative ones counted from the end
 */
export function tupleRows(f: Formula, shape: readonly number[], indices: string, batch: number): TupleRows {
  const tuples = f.shapeOf(indices);
  const depth = tuples.at(-1)!;
  const lengths = shape.slice(batch, batch + depth);
  const images = sizeOf(shape.slice(0, batch));
  const perImage = sizeOf(tuples.slice(batch, -1));
  const layout = { lengths, images, perImage };
  const known = f.builder.constantOf(indices);
  return {
    rows: known ? f.int64s(knownRows(toReference(known).data, layout)) : computedRows(f, indices, layout),
    count: images * sizeOf(lengths),
    width: sizeOf(shape.slice(batch + depth)),
  };
}

interface Layout {
  /** Of the axes that a tuple names. */
  readonly lengths: readonly number[];
  readonly images: number;
  /** Tuples in each image of the batch. */
  readonly perImage: number;
}

function knownRows(indices: Float64Array, { lengths, images, perImage }: Layout): number[] {
  const strides = stridesOf(lengths);
  return Array.from({ length: images * perImage }, (_, tuple) =>
    lengths.reduce(
      (row, length, k) => {
        const index = indices[tuple * lengths.length + k]!;
        return row + (index < 0 ? index + length : index) * strides[k]!;
      },
      Math.floor(tuple / perImage) * sizeOf(lengths),
    ),
  );
}

function computedRows(f: Formula, indices: string, { lengths, images, perImage }: Layout): string {
  const flat = f.reshape(indices, [images, perImage, lengths.length]);
  const fromFront = f.where(f.less(flat, 0), f.add(flat, f.int64s(lengths)), flat);
  const within = f.sum(f.mul(fromFront, f.int64s(stridesOf(lengths))), [2], false);
  const firsts = Array.from({ length: images }, (_, image) => image * sizeOf(lengths));
  const rows = images === 1 ? within : f.add(within, f.constant('int64', [images, 1], firsts));
  return f.reshape(rows, [images * perImage]);
}
