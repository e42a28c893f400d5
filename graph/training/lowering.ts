import { floatAttribute, intAttribute, type Node } from '../ir/graph.js';
import { stopsGradient } from '../ir/stop-gradient.js';
import { isFloat, normalizeAxis } from '../ir/tensor.js';
import { inverseDeviation, normalizedByRoot, normalizedGroups, type Formula } from '../formula/index.js';
import { batchStatistics } from '../gradient/index.js';
import type { RewriteRule } from '../passes/index.js';

/** Once the gradient is written, a node that ended it does nothing. */
export const dropStops: RewriteRule = ({ node }) => (stopsGradient(node) ? [node.inputs[0]!] : undefined);

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

/**
 * Normalizations that engines lack or that give no statistics, in operators that do: what LayerNormalization makes of
 * rows, scaled and shifted. The expressions are those of their gradient rules, so that the two are computed once.
 */
export const lowerNormalization: RewriteRule = ({ node, f }) => {
  if (node.domain !== '') return undefined;
  switch (node.operator) {
    case 'InstanceNormalization':
      return [inGroups(f, node, f.shapeOf(node.inputs[0]!)[1]!)];
    case 'GroupNormalization':
      return [inGroups(f, node, intAttribute(node, 'num_groups', 1))];
    case 'RMSNormalization':
      return [byRoot(f, node)];
    default:
      return undefined;
  }
};

function inGroups(f: Formula, node: Node, groups: number): string {
  const [x, scale, bias] = node.inputs as [string, string, string];
  const { normal } = normalizedGroups(f, x, groups, floatAttribute(node, 'epsilon', 1e-5));
  const perChannel = (value: string) => f.reshape(value, [1, f.shapeOf(x)[1]!, 1]);
  return f.reshape(f.add(f.mul(normal, perChannel(scale)), perChannel(bias)), f.shapeOf(x));
}

function byRoot(f: Formula, node: Node): string {
  const [x, scale] = node.inputs as [string, string];
  const axis = normalizeAxis(intAttribute(node, 'axis', -1), f.rankOf(x));
  const { normal } = normalizedByRoot(f, x, axis, floatAttribute(node, 'epsilon', 1e-5));
  return f.mul(f.cast(normal, f.typeOf(scale).dtype), scale);
}

/** PRelu as max(x, 0) + slope min(x, 0): onnxruntime 1.30 takes six times as long for its own. */
export const lowerPRelu: RewriteRule = ({ node, type, f }) => {
  if (node.operator !== 'PRelu' || node.domain !== '' || !isFloat(type.dtype)) return undefined;
  const [x, slope] = node.inputs as [string, string];
  return [f.add(f.unary('Relu', x), f.mul(f.clip(x, undefined, 0), slope))];
};
