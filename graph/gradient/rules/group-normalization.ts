import { floatAttribute, intAttribute } from '../../ir/graph.js';
import { normalizeAxis, sizeOf } from '../../ir/tensor.js';
import { normalizedByRoot, normalizedGroups } from '../../formula/index.js';
import type { GradientContext, RuleTable } from '../context.js';

/**
 * Y = scale h + bias per channel, where h is x brought to mean 0 and deviation 1 within groups of channels.
 *
 * With D elements a group: dx = (dy scale - mean(dy scale) - h mean(dy scale h)) / deviation. The sums over a group
 * are those over its channels, weighted by scale: the same sums, over the batch, are the gradients of bias and scale.
 */
function normalization(g: GradientContext, groups: number): (string | undefined)[] {
  const shape = g.shapeOf(g.x);
  const [batch, channels] = shape as [number, number];
  const size = sizeOf(shape) / (batch * groups);
  const { normal, inverse } = normalizedGroups(g, g.x, groups, floatAttribute(g.node, 'epsilon', 1e-5));
  const dy = g.reshape(g.dy, g.shapeOf(normal));
  const sums = g.sum(dy, [2]);
  const products = g.sum(g.mul(dy, normal), [2]);
  const dx = () => {
    const scale = g.reshape(g.input(1), [1, groups, channels / groups]);
    const perGroup = (value: string) => g.reshape(value, [batch, groups, channels / groups]);
    const perChannel = (value: string) =>
      g.reshape(g.expandTo(value, [batch, groups, channels / groups]), [batch, channels, 1]);
    const meanOf = (value: string) =>
      perChannel(g.mul(g.sum(g.mul(perGroup(value), scale), [2]), g.mul(inverse, 1 / size)));
    const weighted = g.mul(dy, g.reshape(g.mul(inverse, scale), [batch, channels, 1]));
    const correction = g.add(g.mul(normal, meanOf(products)), meanOf(sums));
    return g.reshape(g.sub(weighted, correction), shape);
  };
  const overBatch = (value: string) => g.reshape(g.sum(value, [0]), [channels]);
  return [
    g.needs(0) ? dx() : undefined,
    g.needs(1) ? overBatch(products) : undefined,
    g.needs(2) ? overBatch(sums) : undefined,
  ];
}

/**
 * Y = scale h with h = x / root of its mean square over the axes from `axis` on:
 * dx = (dy scale - h mean(dy scale h)) / root. The mean is a product of the matrix dy h with the column scale.
 */
function rmsNormalization(g: GradientContext): (string | undefined)[] {
  const { shape, dtype } = g.typeOf(g.x);
  const axis = normalizeAxis(intAttribute(g.node, 'axis', -1), shape.length);
  const block = shape.slice(axis);
  const [rows, columns] = [sizeOf(shape.slice(0, axis)), sizeOf(block)];
  const { normal, inverse } = normalizedByRoot(g, g.x, axis, floatAttribute(g.node, 'epsilon', 1e-5));
  const wide = g.typeOf(normal).dtype;
  const h = g.reshape(normal, [rows, columns]);
  const dy = g.reshape(g.cast(g.dy, wide), [rows, columns]);
  const products = g.mul(dy, h);
  const given = g.typeOf(g.input(1));
  // the scale's own axes, without those of length 1 that it may have in front of the block's
  const tail = given.shape.slice(Math.max(0, given.shape.length - block.length));
  const dx = () => {
    const scale = g.expandTo(g.reshape(g.cast(g.input(1), wide), tail), block);
    const mean = g.gemm(products, g.reshape(scale, [columns, 1]), { alpha: 1 / columns });
    const difference = g.sub(g.mul(dy, g.reshape(scale, [1, columns])), g.mul(h, mean));
    return g.cast(g.reshape(g.mul(difference, g.reshape(inverse, [rows, 1])), shape), dtype);
  };
  const dScale = () => {
    const sums = g.reduceTo(g.reshape(g.sum(products, [0], false), block), tail);
    return g.cast(g.reshape(sums, given.shape), given.dtype);
  };
  return [g.needs(0) ? dx() : undefined, g.needs(1) ? dScale() : undefined];
}

export const groupNormalizationRules: RuleTable = {
  InstanceNormalization: (g) => normalization(g, g.shapeOf(g.x)[1]!),
  GroupNormalization: (g) => normalization(g, intAttribute(g.node, 'num_groups', 1)),
  RMSNormalization: rmsNormalization,
};
