import { attribute, floatAttribute, intAttribute, intsAttribute } from '../ir/graph.js';
import { normalizeAxis, sizeOf } from '../ir/tensor.js';
import { normalizedByRoot, sortedAxes, type NodeFormula } from '../formula/index.js';
import type { DecompositionTable } from './table.js';

/** x / ||x|| along an axis; where the norm is 0, so is x. */
function lpNormalization(d: NodeFormula): string {
  const axis = normalizeAxis(intAttribute(d.node, 'axis', -1), d.rankOf(d.x));
  const norm = d.reduce(intAttribute(d.node, 'p', 2) === 1 ? 'ReduceL1' : 'ReduceL2', d.x, [axis]);
  return d.div(d.x, d.where(d.equal(norm, 0), 1, norm));
}

/**
 * x (bias + alpha m)^-beta, where m is the mean square over a window of channels: an average pool over the channels
 * as rows of an image. The power is written as exp(-beta log), for which engines have vector code.
 */
function localResponseNormalization(d: NodeFormula): string {
  const shape = d.shapeOf(d.x);
  const size = intAttribute(d.node, 'size', 1);
  const rows = [shape[0]!, 1, shape[1]!, sizeOf(shape.slice(2))];
  const pooled = d.one('AveragePool', [d.reshape(d.mul(d.x, d.x), rows)], {
    kernel_shape: attribute.ints([size, 1]),
    pads: attribute.ints([Math.floor((size - 1) / 2), 0, Math.ceil((size - 1) / 2), 0]),
    count_include_pad: attribute.int(1),
  });
  const scaled = d.mul(d.reshape(pooled, shape), floatAttribute(d.node, 'alpha', Math.fround(1e-4)));
  const base = d.add(scaled, floatAttribute(d.node, 'bias', 1));
  return d.mul(d.x, d.exp(d.mul(d.log(base), -floatAttribute(d.node, 'beta', 0.75))));
}

function meanVarianceNormalization(d: NodeFormula): string {
  const axes = sortedAxes(intsAttribute(d.node, 'axes') ?? [0, 2, 3], d.rankOf(d.x));
  const centred = d.sub(d.x, d.mean(d.x, axes));
  return d.div(centred, d.add(d.sqrt(d.mean(d.mul(centred, centred), axes)), 1e-9));
}

/** RMSNormalization, and the inverse root of each block where it is asked for. */
function simplifiedLayerNormalization(d: NodeFormula): string[] {
  const axis = normalizeAxis(intAttribute(d.node, 'axis', -1), d.rankOf(d.x));
  const epsilon = floatAttribute(d.node, 'epsilon', 1e-5);
  const attributes = { axis: attribute.int(axis), epsilon: attribute.float(epsilon) };
  const y = d.one('RMSNormalization', [d.x, d.input(1)], attributes);
  const inverse = d.hasOutput(1) ? d.cast(normalizedByRoot(d, d.x, axis, epsilon).inverse, 'float32') : '';
  return [y, inverse];
}

/** Normalizations in reductions and arithmetic, or in ONNX's name for the same. */
export const normalization: DecompositionTable = {
  LpNormalization: (d) => [lpNormalization(d)],
  LRN: (d) => [localResponseNormalization(d)],
  MeanVarianceNormalization: (d) => [meanVarianceNormalization(d)],
  SimplifiedLayerNormalization: simplifiedLayerNormalization,
};
