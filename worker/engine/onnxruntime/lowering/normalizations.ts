import { attribute, floatAttribute, intAttribute, normalizeAxis, sizeOf } from '../../../../graph/index.js';
import type { Formula } from '../../../../graph/formula/index.js';
import type { RewriteRule } from '../../../../graph/passes/index.js';

/** Features without a spatial axis get one: the library takes two axes for channels last, whose pairs it then mixes up. */
export const spatialBatchNormalization: RewriteRule = ({ node, type, f }) => {
  if (type.shape.length !== 2 || node.outputs.length > 1) return undefined;
  const [x, ...statistics] = node.inputs as [string, ...string[]];
  const inputs = [f.reshape(x, [...type.shape, 1]), ...statistics];
  return [f.reshape(f.one(node.operator, inputs, node.attributes), type.shape)];
};

/**
 * The mean is subtracted before. The library takes the variance for mean(x^2) - mean(x)^2, of which float32 leaves
 * nothing where the mean is a thousand deviations: a result 7 percent off, and NaN from some thousands on.
 */
export const centredLayerNormalization: RewriteRule = ({ node, f }) => {
  const [x, ...parameters] = node.inputs as [string, ...string[]];
  const rank = f.rankOf(x);
  const first = normalizeAxis(intAttribute(node, 'axis', -1), rank);
  const mean = f.mean(x, axesFrom(first, rank));
  const outputs = node.outputs.length;
  const inputs = [f.sub(x, mean), ...parameters];
  const [y, , inverse] = f.builder.add(node.operator, inputs, node.attributes, { name: node.name, outputs });
  return [y!, mean, inverse!].slice(0, outputs);
};

/** Each channel of each image as a row: the library's own takes 1e-5 for the epsilon, whatever it is given. */
export const instanceNormalization: RewriteRule = ({ node, type, f }) => {
  const [x, scale, bias] = node.inputs as [string, string, string];
  const [batch = 1, channels = 1, ...spatial] = type.shape;
  const rows = f.reshape(x, [batch * channels, sizeOf(spatial)]);
  const normal = normalizedRows(f, rows, floatAttribute(node, 'epsilon', 1e-5));
  const perChannel = (value: string) => f.reshape(value, [channels, 1]);
  const images = f.reshape(normal, [batch, channels, sizeOf(spatial)]);
  return [f.reshape(f.add(f.mul(images, perChannel(scale)), perChannel(bias)), type.shape)];
};

/** (x - mean) / deviation of each row. */
function normalizedRows(f: Formula, rows: string, epsilon: number): string {
  const ones = f.expandTo(f.scalar(1, 'float32'), f.shapeOf(rows).slice(1));
  const attributes = { axis: attribute.int(1), epsilon: attribute.float(epsilon) };
  return f.one('LayerNormalization', [f.sub(rows, f.mean(rows, [1])), ones], attributes);
}

const axesFrom = (first: number, rank: number): number[] =>
  Array.from({ length: rank - first }, (_, i) => first + i);
