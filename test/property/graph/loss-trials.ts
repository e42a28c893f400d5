import { attribute, type Attributes } from '../../../graph/index.js';
import type { Draw, Trial } from './draw.js';

const { int, string } = attribute;

/** Scores [N, C, d1, ...], class ids of which some may be ignored, and weights or none. */
function classification(draw: Draw): Trial {
  const classes = draw.between(2, 4);
  const batch = draw.between(1, 3);
  const space = draw.shape(0, 2);
  const ids = draw.ints([batch, ...space], 0, classes - 1, draw.one(['int64', 'int32'] as const));
  const ignored = draw.one([undefined, -100, 0, classes - 1]);
  const ignore: Attributes = ignored === undefined ? {} : { ignore_index: int(ignored) };
  // never all of them: a mean over nothing is not a number
  if (ignored === -100) for (let i = 1; i < ids.data.length; i += 2) write(ids, i, ignored);
  write(ids, 0, 0 === ignored ? 1 : 0);
  return {
    inputs: [
      draw.floats([batch, classes, ...space]),
      ids,
      draw.flag() ? draw.floats([classes], 0.25, 2) : undefined,
    ],
    attributes: { reduction: string(draw.one(['mean', 'sum', 'none'])), ...ignore },
  };
}

function write({ data }: ReturnType<Draw['ints']>, at: number, value: number): void {
  if (data instanceof BigInt64Array) data[at] = BigInt(value);
  else data[at] = value;
}

/** Losses on random shapes and attributes. */
export const LOSS_TRIALS: Readonly<Record<string, (draw: Draw) => Trial>> = {
  NegativeLogLikelihoodLoss: classification,
  SoftmaxCrossEntropyLoss: (draw) => ({ ...classification(draw), outputs: draw.between(1, 2) }),
};
