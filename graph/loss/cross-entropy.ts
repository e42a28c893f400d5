import type { Formula } from '../formula/index.js';
import { attribute } from '../ir/graph.js';
import { sameShape, sizeOf } from '../ir/tensor.js';
import { IGNORED_TARGET, type AttachedLoss } from './kinds.js';

/**
 * Cross-entropy on class ids: the mean of -log softmax(output)[target] over the targets that are not
 * IGNORED_TARGET (0 where all are ignored).
 *
 * The gradient is (softmax - onehot) / count, row by row: one pass to exponentiate the saved log-probabilities,
 * one to scale them, and a subtraction at each target.
 */
export function crossEntropy(f: Formula, output: string, target: string): Omit<AttachedLoss, 'target'> {
  const shape = f.shapeOf(output);
  const { dtype } = f.typeOf(output);
  const rank = shape.length;
  // [N, C, d1, ...] is brought to [N, d1, ..., C]; the last axis wins where both readings fit
  const classesLast = sameShape(f.shapeOf(target), shape.slice(0, -1));
  const axes = Array.from({ length: rank }, (_, axis) => axis);
  const toLast = [0, ...axes.slice(2), 1];
  const fromLast = [0, rank - 1, ...axes.slice(1, rank - 1)];
  const logits = classesLast ? output : f.transpose(output, toLast);
  const classes = f.shapeOf(logits).at(-1)!;
  const rows = sizeOf(shape) / classes;

  const logProbabilities = f.one('LogSoftmax', [f.reshape(logits, [rows, classes])], {
    axis: attribute.int(1),
  });
  const ids = f.reshape(target, [rows, 1]);
  const ignored = f.equal(ids, IGNORED_TARGET);
  const index = f.where(ignored, 0, ids);
  const counts = f.cast(f.not(ignored), dtype);
  const count = f.max(f.sum(counts, [0, 1], false), 1);
  const picked = f.one('GatherElements', [logProbabilities, index], { axis: attribute.int(1) });
  const loss = f.neg(f.div(f.sum(f.mul(picked, counts), [0, 1], false), count));

  const gradient = (scale: string) => {
    const rowScale = f.mul(counts, f.div(scale, count));
    const expected = f.mul(f.exp(logProbabilities), rowScale);
    const difference = f.one('ScatterElements', [expected, index, f.neg(rowScale)], {
      axis: attribute.int(1),
      reduction: attribute.string('add'),
    });
    const shaped = f.reshape(difference, f.shapeOf(logits));
    return classesLast ? shaped : f.transpose(shaped, fromLast);
  };
  return { loss, gradient };
}
