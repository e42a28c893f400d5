import { unreachable } from '../../base/index.js';
import type { Formula } from '../formula/index.js';
import { formatType, isFloat, sameShape, sizeOf, type TensorType } from '../ir/tensor.js';
import { crossEntropy } from './cross-entropy.js';
import { LossError } from './errors.js';
import type { AttachedLoss, LossKind } from './kinds.js';
import { binaryCrossEntropy, huber, l1, squared } from './regression.js';

export interface LossOptions {
  /** The name of the input to declare for the target. */
  readonly target: string;
  /** The target's shape, batch included, where it cannot be told from the output: see `targetTypeOf`. */
  readonly targetShape?: readonly number[];
}

/**
 * Attaches a loss to a value and declares the input for its target. The formulas are those of PyTorch's functions
 * of the same names with mean reduction, in a form that does not overflow; the gradient is written directly.
 * @throws LossError when output and target do not fit the loss
 */
export function attachLoss(f: Formula, kind: LossKind, output: string, options: LossOptions): AttachedLoss {
  const type = targetTypeOf(kind, f.typeOf(output), options.targetShape);
  const name = f.builder.input(options.target, type);
  const target = { name, type };
  if (kind === 'cross_entropy') return { target, ...crossEntropy(f, output, name) };
  const pair = { output, target: f.reshape(name, f.shapeOf(output)) };
  switch (kind) {
    case 'mse':
      return { target, ...squared(f, pair) };
    case 'l1':
      return { target, ...l1(f, pair) };
    case 'huber':
      return { target, ...huber(f, pair) };
    case 'binary_cross_entropy_with_logits':
      return { target, ...binaryCrossEntropy(f, pair) };
    default:
      return unreachable(kind);
  }
}

/**
 * The target that a loss takes for an output of a type.
 *
 * Cross-entropy: class ids (int64). An output [N, C] takes [N]. One with more axes takes its shape without the
 * last axis (language models, [N, T, C]) unless `asked` is its shape without axis 1 (PyTorch's [N, C, d1, ...]).
 * The other losses: the output's own type; `asked` may differ in axes of length 1.
 * @param asked the shape that the data has, where known
 * @throws LossError
 */
export function targetTypeOf(kind: LossKind, output: TensorType, asked?: readonly number[]): TensorType {
  const ids = { loss: kind, output: formatType(output) };
  if (!isFloat(output.dtype)) {
    throw new LossError(`${kind} needs a float output; the model gives ${formatType(output)}`, ids);
  }
  if (kind !== 'cross_entropy') {
    const shape = asked ?? output.shape;
    if (!sameShape(withoutOnes(shape), withoutOnes(output.shape))) {
      throw new LossError(
        `${kind} compares element by element: the model gives ${formatType(output)}, the target has shape [${shape.join(', ')}]`,
        { ...ids, target: shape },
      );
    }
    return { dtype: output.dtype, shape };
  }
  const { shape } = output;
  if (shape.length < 2 || sizeOf(shape) === 0) {
    throw new LossError(
      `cross_entropy needs an output [batch, classes] or one with more axes; the model gives ${formatType(output)}`,
      ids,
    );
  }
  const last = shape.slice(0, -1);
  const second = [shape[0]!, ...shape.slice(2)];
  if (asked === undefined || sameShape(asked, last)) return { dtype: 'int64', shape: last };
  if (sameShape(asked, second)) return { dtype: 'int64', shape: second };
  throw new LossError(
    `cross_entropy takes class ids of shape [${last.join(', ')}]${
      sameShape(last, second) ? '' : ` (or [${second.join(', ')}])`
    } for an output ${formatType(output)}; the target has shape [${asked.join(', ')}]`,
    { ...ids, target: asked },
  );
}

function withoutOnes(shape: readonly number[]): number[] {
  return shape.filter((dim) => dim !== 1);
}
