import type { Formula } from '../formula/index.js';
import { sizeOf } from '../ir/tensor.js';
import type { AttachedLoss } from './kinds.js';

type Loss = Omit<AttachedLoss, 'target'>;

/** Output and target, of one shape. */
interface Pair {
  readonly output: string;
  readonly target: string;
}

/** mean((y - t)^2) */
export function squared(f: Formula, { output, target }: Pair): Loss {
  const difference = f.sub(output, target);
  const share = 1 / sizeOf(f.shapeOf(output));
  return {
    loss: mean(f, f.mul(difference, difference)),
    gradient: (scale) => f.mul(difference, f.mul(scale, 2 * share)),
  };
}

/** mean(|y - t|); the slope at 0 is 0 */
export function l1(f: Formula, { output, target }: Pair): Loss {
  const difference = f.sub(output, target);
  const share = 1 / sizeOf(f.shapeOf(output));
  return {
    loss: mean(f, f.abs(difference)),
    gradient: (scale) => f.mul(f.sign(difference), f.mul(scale, share)),
  };
}

/** Squared / 2 up to a distance of 1, linear beyond (delta = 1): with c = clip(d, -1, 1) it is c (d - c / 2). */
export function huber(f: Formula, { output, target }: Pair): Loss {
  const difference = f.sub(output, target);
  const clipped = f.clip(difference, -1, 1);
  const share = 1 / sizeOf(f.shapeOf(output));
  return {
    loss: mean(f, f.mul(clipped, f.sub(difference, f.mul(clipped, 0.5)))),
    gradient: (scale) => f.mul(clipped, f.mul(scale, share)),
  };
}

/** mean(softplus(y) - y t), which is -t log s(y) - (1 - t) log(1 - s(y)) without its overflow */
export function binaryCrossEntropy(f: Formula, { output, target }: Pair): Loss {
  const share = 1 / sizeOf(f.shapeOf(output));
  return {
    loss: mean(f, f.sub(f.unary('Softplus', output), f.mul(output, target))),
    gradient: (scale) => f.mul(f.sub(f.sigmoid(output), target), f.mul(scale, share)),
  };
}

function mean(f: Formula, value: string): string {
  const axes = f.shapeOf(value).map((_, axis) => axis);
  return f.mean(value, axes, false);
}
