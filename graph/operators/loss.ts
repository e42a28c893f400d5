import { ShapeError } from '../errors.js';
import { intAttribute, stringAttribute, type Node } from '../ir/graph.js';
import { formatType, sameShape, sizeOf, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition, Reference } from './definition.js';
import { logSoftmax } from './normalization.js';
import { define, operand, sameType, valueOf } from './operands.js';
import { lanesOf } from './walk.js';

const REDUCTIONS = ['mean', 'sum', 'none'];

/**
 * The type of a loss of scores [N, C, d1, ...] and class ids [N, d1, ...], with optional weights [C].
 * @throws ShapeError where they do not fit
 */
function inferLoss(node: Node, inputs: readonly (TensorType | undefined)[]): TensorType {
  const [scores, ids] = [operand(node, inputs, 0, 'float'), operand(node, inputs, 1, 'integer')];
  const { dtype, shape } = scores;
  if (shape.length < 2)
    throw new ShapeError(node, `scores are ${formatType(scores)}; they need at least N and C`);
  const wanted = shape.toSpliced(1, 1);
  if (!sameShape(ids.shape, wanted)) {
    throw new ShapeError(
      node,
      `class ids are ${formatType(ids)} for scores ${formatType(scores)}; [${wanted.join(', ')}] would be accepted`,
    );
  }
  const weights = inputs[2];
  if (weights) {
    sameType(node, scores, weights, 2);
    if (!sameShape(weights.shape, [shape[1]!])) {
      throw new ShapeError(node, `weights are ${formatType(weights)}; [${shape[1]!}] would be accepted`);
    }
  }
  const reduction = stringAttribute(node, 'reduction', 'mean');
  if (!REDUCTIONS.includes(reduction)) {
    throw new ShapeError(node, `reduction is "${reduction}"; ${REDUCTIONS.join(', ')} would be accepted`);
  }
  return { dtype, shape: reduction === 'none' ? wanted : [] };
}

/**
 * -weight[id] logProbability[id] for every id; 0 where it is `ignore_index`. The mean divides by the sum of the
 * weights, those of ignored ids not counted: over nothing it is not a number, as in PyTorch.
 */
function evaluateLoss(
  node: Node,
  logProbabilities: Reference,
  inputs: readonly (Reference | undefined)[],
  type: TensorType,
): Reference {
  const { shape, data } = logProbabilities;
  const ids = operand(node, inputs, 1).data;
  const ignored = node.attributes['ignore_index'] && intAttribute(node, 'ignore_index', 0);
  const [classes, space] = [shape[1]!, sizeOf(shape.slice(2))];
  const weights = ids.map((id) => {
    if (id === ignored) return 0;
    if (id < 0 || id >= classes) {
      throw new ShapeError(node, `has the class id ${id}; 0 to ${classes - 1} would be accepted`);
    }
    return inputs[2]?.data[id] ?? 1;
  });
  const losses = ids.map((id, i) => {
    if (id === ignored) return 0;
    const image = Math.floor(i / space);
    return -weights[i]! * data[(image * classes + id) * space + (i % space)]!;
  });
  const reduction = stringAttribute(node, 'reduction', 'mean');
  if (reduction === 'none') return valueOf(type, losses);
  const total = losses.reduce((sum, loss) => sum + loss, 0);
  const by = reduction === 'mean' ? weights.reduce((sum, weight) => sum + weight, 0) : 1;
  return valueOf(type, Float64Array.of(total / by));
}

/** NegativeLogLikelihoodLoss: of log-probabilities. */
const negativeLogLikelihoodLoss = define(
  'NegativeLogLikelihoodLoss',
  (node, inputs) => [inferLoss(node, inputs)],
  (node, inputs, [type]) => [evaluateLoss(node, operand(node, inputs, 0), inputs, type!)],
);

/** SoftmaxCrossEntropyLoss: of scores, whose log-probabilities along axis 1 are its second output. */
const softmaxCrossEntropyLoss = define(
  'SoftmaxCrossEntropyLoss',
  (node, inputs) => {
    const { dtype, shape } = operand(node, inputs, 0, 'float');
    return [inferLoss(node, inputs), { dtype, shape }];
  },
  (node, inputs, [type, scoreType]) => {
    const { shape, data } = operand(node, inputs, 0);
    const { starts, steps } = lanesOf(shape, [1]);
    const logProbabilities = valueOf(scoreType!);
    for (const start of starts) {
      const lane = logSoftmax(Float64Array.from(steps, (step) => data[start + step]!));
      lane.forEach((x, j) => (logProbabilities.data[start + steps[j]!] = x));
    }
    return [evaluateLoss(node, logProbabilities, inputs, type!), logProbabilities];
  },
);

export const lossOperators: readonly OperatorDefinition[] = [
  negativeLogLikelihoodLoss,
  softmaxCrossEntropyLoss,
];
