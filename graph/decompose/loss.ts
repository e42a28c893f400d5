import { attribute, intAttribute, stringAttribute } from '../ir/graph.js';
import { sizeOf } from '../ir/tensor.js';
import type { NodeFormula } from '../formula/index.js';
import type { DecompositionTable } from './table.js';

/** [N, C, d1, ...] as a matrix with a row for each class id and a column for each class. */
function rowsOf(d: NodeFormula, scores: string): string {
  const shape = d.shapeOf(scores);
  const last = d.transpose(scores, [0, ...shape.slice(2).map((_, i) => i + 2), 1]);
  return d.reshape(last, [sizeOf(shape) / shape[1]!, shape[1]!]);
}

/** What `rowsOf` makes of a tensor of `shape`, back in that shape. */
function fromRows(d: NodeFormula, rows: string, shape: readonly number[]): string {
  const last = shape.length - 1;
  const [batch, classes, ...space] = shape as [number, number, ...number[]];
  return d.transpose(d.reshape(rows, [batch, ...space, classes]), [0, last, ...space.map((_, i) => i + 1)]);
}

/**
 * -weight[id] logProbability[id] for each row, reduced as the node says. Ignored ids count neither in the sum nor in
 * the mean's divisor; as they may be no class at all, class 0 is looked up for them.
 */
function negativeLogLikelihood(d: NodeFormula, rows: string): string {
  const [count] = d.shapeOf(rows) as [number, number];
  const { dtype } = d.typeOf(rows);
  const reduction = stringAttribute(d.node, 'reduction', 'mean');
  const given = d.reshape(d.input(1), [count, 1]);
  const ignored =
    d.node.attributes['ignore_index'] && d.equal(given, intAttribute(d.node, 'ignore_index', 0));
  const ids = ignored ? d.where(ignored, 0, given) : given;
  const picked = d.neg(d.one('GatherElements', [rows, ids], { axis: attribute.int(1) }));
  const classWeights = d.hasInput(2) ? d.one('Gather', [d.input(2), ids]) : undefined;
  const kept = ignored && d.where(ignored, d.scalar(0, dtype), classWeights ?? d.scalar(1, dtype));
  const weights = kept ?? classWeights;
  const losses = weights === undefined ? picked : d.mul(picked, weights);
  if (reduction === 'none') return d.reshape(losses, d.shapeOf(d.input(1)));
  const total = d.sum(losses, [0, 1], false);
  if (reduction === 'sum') return total;
  return weights === undefined ? d.mul(total, 1 / count) : d.div(total, d.sum(weights, [0, 1], false));
}

/** Losses of class ids in a look-up of log-probabilities. */
export const loss: DecompositionTable = {
  NegativeLogLikelihoodLoss: (d) => [negativeLogLikelihood(d, rowsOf(d, d.x))],
  SoftmaxCrossEntropyLoss: (d) => {
    const logProbabilities = d.one('LogSoftmax', [rowsOf(d, d.x)], { axis: attribute.int(1) });
    const all = d.hasOutput(1) ? fromRows(d, logProbabilities, d.shapeOf(d.x)) : '';
    return [negativeLogLikelihood(d, logProbabilities), all];
  },
};
