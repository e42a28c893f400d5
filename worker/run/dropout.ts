import { keyOf, uniformAt } from '../../base/index.js';

/**
 * Fills a dropout mask: 0 with probability `ratio`, else 1 / (1 - ratio).
 *
 * A row's numbers depend on the seed, the step, the mask and the sample's place in the global batch, never on
 * the rank: however a batch is shared, each sample sees the mask that it would see on one device.
 * @param mask row-major, `rows` rows of equal length, one a sample
 * @param firstSample place of row 0 in the global batch
 */
export function fillDropoutMask(
  mask: Float32Array,
  rows: number,
  { seed, step, index, firstSample, ratio }: DropoutDraw,
): void {
  const width = mask.length / rows;
  const kept = 1 / (1 - ratio);
  for (let row = 0; row < rows; row++) {
    const key = keyOf(seed, step, index, firstSample + row);
    const start = row * width;
    for (let i = 0; i < width; i++) mask[start + i] = uniformAt(key, i) < ratio ? 0 : kept;
  }
}

export interface DropoutDraw {
  readonly seed: number;
  readonly step: number;
  /** Which of the model's masks. */
  readonly index: number;
  readonly firstSample: number;
  /** In [0, 1). */
  readonly ratio: number;
}
