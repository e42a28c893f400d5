import { floatAttribute, intAttribute } from '../ir/graph.js';
import { batchStatistics, inverseDeviation } from '../gradient/index.js';
import type { RewriteRule } from '../passes/index.js';

/** LayerNormalization also gives each row's mean and inverse deviation, so that the backward pass need not. */
export const saveRowStatistics: RewriteRule = ({ node, f }) => {
  if (node.operator !== 'LayerNormalization' || node.domain !== '' || node.outputs.length > 1)
    return undefined;
  return f.builder.add(node.operator, node.inputs, node.attributes, { name: node.name, outputs: 3 });
};

/**
 * BatchNormalization with the statistics of the batch, in elementary operators: engines differ in whether they run
 * its training form. The expressions are those of its gradient rule, so that the two are computed once.
 */
export const lowerBatchNormalization: RewriteRule = ({ node, f }) => {
  if (node.operator !== 'BatchNormalization' || intAttribute(node, 'training_mode', 0) !== 1)
    return undefined;
  const [x, scale, bias, runningMean, runningVariance] = node.inputs as [
    string,
    string,
    string,
    string,
    string,
  ];
  const { mean, variance } = batchStatistics(f, x);
  const channels = f.shapeOf(mean);
  const inverse = inverseDeviation(f, variance, floatAttribute(node, 'epsilon', 1e-5));
  const normal = f.mul(f.sub(x, mean), inverse);
  const y = f.add(f.mul(normal, f.reshape(scale, channels)), f.reshape(bias, channels));
  const momentum = floatAttribute(node, 'momentum', 0.9);
  const updated = (running: string, batch: string) =>
    f.add(f.mul(running, momentum), f.mul(f.reshape(batch, f.shapeOf(running)), 1 - momentum));
  return [
    y,
    ...(node.outputs[1] ? [updated(runningMean, mean)] : ['']),
    ...(node.outputs[2] ? [updated(runningVariance, variance)] : []),
  ];
};
