import { bytesPerElement, type TensorType } from '../../graph/index.js';

/** A range of bytes of a value. */
export interface Slice {
  readonly offset: number;
  readonly bytes: number;
}

/**
 * Where samples [from, to) of a value lie: one range where its sample axis is the outermost, else one for each index of
 * the axes before it.
 * @param axis along which samples lie one after the other, each with as many entries
 * @param samples that the value holds
 */
export function slicesOf(
  { dtype, shape }: TensorType,
  axis: number,
  samples: number,
  from: number,
  to: number,
): readonly Slice[] {
  const product = (dims: readonly number[]) => dims.reduce((all, dim) => all * dim, 1);
  const perSample = (product(shape.slice(axis)) / samples) * bytesPerElement(dtype);
  const bytes = (to - from) * perSample;
  if (from === 0 && to === samples) return [{ offset: 0, bytes: bytes * product(shape.slice(0, axis)) }];
  return Array.from({ length: product(shape.slice(0, axis)) }, (_, i) => ({
    offset: (i * samples + from) * perSample,
    bytes,
  }));
}
