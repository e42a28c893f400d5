import { DataError } from './errors.js';
import { elementsOf } from './dataset.js';

/** A dimension as a model declares it: a length, or a symbol's name for any length. */
export type Dimension = number | string;

/**
 * The shape in which a sample goes into a model's input: the same numbers in the same (row-major) order, with axes of
 * length 1 put in or left out (28x28 pixels as 1x28x28), or flattened to one axis, or a flat sample folded.
 * No other reshape is made: 32x32x3 is never read as 3x32x32.
 *
 * @param sample the dimensions of one sample in the file
 * @param wanted the input's dimensions without the batch axis; a symbol takes any length
 * @returns `wanted` with its symbols bound, or undefined when the sample does not fit
 */
export function fitSample(sample: readonly number[], wanted: readonly Dimension[]): number[] | undefined {
  return (
    alignAxes(sample, wanted) ??
    (sample.length === 1 || wanted.length === 1 ? flatten(sample, wanted) : undefined)
  );
}

/**
 * As `fitSample`, with an error that says what was found and what the model takes.
 * @throws DataError `data_shape`
 */
export function fitOrRefuse(
  what: string,
  file: string,
  sample: readonly number[],
  wanted: readonly Dimension[],
  remedy: string,
): number[] {
  const fitted = fitSample(sample, wanted);
  if (fitted) return fitted;
  throw new DataError(
    'data_shape',
    `${file}: a sample of ${what} is ${shapeText(sample)}, but the model takes ${shapeText(wanted)}; ${remedy}`,
    { file, found: shapeText(sample), accepted: shapeText(wanted) },
  );
}

export function shapeText(shape: readonly Dimension[]): string {
  return `[${shape.join(', ')}]`;
}

/** Pairs the axes in order; only axes of length 1 may be without a partner. */
function alignAxes(sample: readonly number[], wanted: readonly Dimension[]): number[] | undefined {
  if (
    sample.length === wanted.length &&
    wanted.every((dim, i) => typeof dim === 'string' || dim === sample[i])
  ) {
    return [...sample];
  }
  const left = sample.filter((dim) => dim !== 1);
  const fitted: number[] = [];
  let next = 0;
  const flexible = wanted.filter((dim) => dim !== 1).length;
  for (const dim of wanted) {
    if (dim === 1) fitted.push(1);
    else if (typeof dim === 'number') {
      if (left[next++] !== dim) return undefined;
      fitted.push(dim);
    } else {
      // a symbol stands for an axis of the sample, or for 1 where the sample has fewer axes
      fitted.push(left.length < flexible && next >= left.length ? 1 : (left[next++] ?? 1));
    }
  }
  return next >= left.length ? fitted : undefined;
}

/** Same count of elements, one of the two sides having a single axis. One symbol is solved for. */
function flatten(sample: readonly number[], wanted: readonly Dimension[]): number[] | undefined {
  const count = elementsOf(sample);
  const symbols = wanted.filter((dim) => typeof dim === 'string').length;
  if (symbols > 1) return undefined;
  const known = elementsOf(wanted.filter((dim): dim is number => typeof dim === 'number'));
  if (symbols === 0) return known === count ? wanted.map(Number) : undefined;
  if (known === 0 || count % known !== 0) return undefined;
  return wanted.map((dim) => (typeof dim === 'number' ? dim : count / known));
}
