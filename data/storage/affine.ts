import { DataError } from '../errors.js';
import type { NormalizeSpec } from '../schema.js';

/**
 * A change of scale for each index of the first axis of a sample: `y = (x * scale - mean) / std`, computed in float64.
 * `inner` elements in a row share one mean and one std.
 */
export class Affine {
  constructor(
    readonly scale: number,
    readonly mean: Float64Array,
    readonly std: Float64Array,
    readonly inner: number,
  ) {}

  /** Transforms a whole sample in place. */
  apply(sample: Float64Array, count: number): void {
    const { scale, mean, std, inner } = this;
    for (let channel = 0, at = 0; at < count; channel++) {
      const m = mean[channel]!;
      const s = std[channel]!;
      for (const end = at + inner; at < end; at++) sample[at] = (sample[at]! * scale - m) / s;
    }
  }

  /** The result for each unsigned byte, when every element of a sample has the same scale; else undefined. */
  byteTable(): Float32Array | undefined {
    if (this.mean.length !== 1) return undefined;
    const { scale, mean, std } = this;
    return Float32Array.from({ length: 256 }, (_, byte) => (byte * scale - mean[0]!) / std[0]!);
  }
}

/**
 * The transform that `scale` and `normalize` ask for, or undefined where they change nothing.
 * @param sampleShape the dimensions of a sample in the file
 * @throws DataError `data_spec` a std that is not positive, or lists that do not match the first axis
 */
export function affineOf(
  name: string,
  sampleShape: readonly number[],
  scale: number,
  normalize: NormalizeSpec | undefined,
): Affine | undefined {
  if (scale === 1 && normalize === undefined) return undefined;
  const count = sampleShape.reduce((product, dim) => product * dim, 1);
  const mean = asList(normalize?.mean ?? 0);
  const std = asList(normalize?.std ?? 1);
  const zero = std.findIndex((value) => !(value > 0));
  if (zero >= 0) {
    throw new DataError('data_spec', `${name}: normalize.std has ${std[zero]!}; every std must be above 0`, {
      file: name,
      found: std[zero]!,
    });
  }
  const channels = Math.max(mean.length, std.length);
  const first = sampleShape[0] ?? 1;
  for (const [field, list] of [['mean', mean] as const, ['std', std] as const]) {
    if (list.length === 1 || list.length === first) continue;
    throw new DataError(
      'data_spec',
      `${name}: normalize.${field} lists ${list.length} numbers, but the first axis of a sample has length ${first}; ` +
        `give one number, or ${first}`,
      { file: name, found: list.length, accepted: first },
    );
  }
  return new Affine(
    scale,
    spread(mean, channels),
    spread(std, channels),
    channels === 1 ? count : count / channels,
  );
}

function asList(value: number | readonly number[]): readonly number[] {
  return typeof value === 'number' ? [value] : value;
}

function spread(list: readonly number[], count: number): Float64Array {
  return list.length === 1 ? new Float64Array(count).fill(list[0]!) : Float64Array.from(list);
}
