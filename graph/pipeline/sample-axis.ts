import { InvariantError } from '../../base/index.js';
import { formatType, type TensorType } from '../ir/tensor.js';
import { StageError } from './errors.js';

/** How a value depends on the number of samples. */
export interface SampleAxis {
  readonly value: string;
  /** The axis on which the samples' rows lie one after the other: a range of samples is a range of this axis. */
  readonly axis: number;
  /** Rows of one sample: the axis is so many times the samples long. */
  readonly rows: number;
}

/**
 * Tells from a value's types for two numbers of samples where its samples are. Types do not tell whether rows of a
 * sample lie together; `unitsOf` does not cut where they may not.
 * @param value its name, for messages
 * @param a its type for `aSamples` samples
 * @param b its type for `bSamples`, another number
 * @returns undefined where the number of samples makes no difference: every sample has the whole value
 * @throws StageError where more than one axis changes, or one that is no multiple of the samples
 */
export function sampleAxis(
  value: string,
  a: TensorType,
  aSamples: number,
  b: TensorType,
  bSamples: number,
): SampleAxis | undefined {
  if (aSamples === bSamples || !isCount(aSamples) || !isCount(bSamples)) {
    throw new InvariantError(
      `"${value}" for ${aSamples} and for ${bSamples} samples does not tell where its samples are`,
    );
  }
  const fail = (why: string): never => {
    throw new StageError(
      `value "${value}" cannot be divided among devices by samples: for ${aSamples} of them it is ${formatType(a)}, for ` +
        `${bSamples} ${formatType(b)}; ${why}. Cut the model elsewhere, or give neighbouring stages one device each`,
    );
  };
  if (a.dtype !== b.dtype || a.shape.length !== b.shape.length)
    return fail('these are different kinds of value');
  const changed = a.shape.flatMap((length, axis) => (length === b.shape[axis] ? [] : [axis]));
  const [axis] = changed;
  if (axis === undefined) return undefined;
  if (changed.length > 1) return fail(`axes ${changed.join(' and ')} change`);
  const rows = a.shape[axis]! / aSamples;
  if (!Number.isInteger(rows) || rows * bSamples !== b.shape[axis]) {
    return fail(`axis ${axis} is not the same number of rows for each sample`);
  }
  return { value, axis, rows };
}

function isCount(samples: number): boolean {
  return Number.isSafeInteger(samples) && samples > 0;
}
