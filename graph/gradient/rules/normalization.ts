import { floatAttribute, intAttribute } from '../../ir/graph.js';
import { normalizeAxis, sizeOf } from '../../ir/tensor.js';
import type { GradientContext, RuleTable } from '../context.js';
import { inverseDeviation, type Formula } from '../../formula/index.js';

/**
 * Y = scale (x - mean) / std + bias over the trailing axes.
 *
 * With h = (x - mean) / std and D elements a row: dx = (dy scale - mean(dy scale) - h mean(dy h scale)) / std.
 * The two means are matrix-vector products with scale, which saves two passes over the rows.
 */
function layerNormalization(g: GradientContext): (string | undefined)[] {
  const shape = g.shapeOf(g.x);
  const axis = normalizeAxis(intAttribute(g.node, 'axis', -1), shape.length);
  const columns = sizeOf(shape.slice(axis));
  const rows = sizeOf(shape.slice(0, axis));
  const matrix = (value: string) => g.reshape(value, [rows, columns]);
  const x = matrix(g.x);
  const dy = matrix(g.dy);
  // the statistics are float32 whatever the input is: enough for float32 only
  const saved = g.hasOutput(1) && g.hasOutput(2) && g.typeOf(g.output(1)).dtype === g.typeOf(g.x).dtype;
  const mean = saved ? g.reshape(g.output(1), [rows, 1]) : g.mean(x, [1]);
  const centred = g.sub(x, mean);
  const inverse = saved
    ? g.reshape(g.output(2), [rows, 1])
    : inverseDeviation(g, g.mean(g.mul(centred, centred), [1]), floatAttribute(g.node, 'epsilon', 1e-5));
  const h = g.mul(centred, inverse);
  const dyh = g.mul(dy, h);
  const scaleShape = g.shapeOf(g.input(1));
  const scale = g.reshape(g.expandTo(g.input(1), shape.slice(axis)), [columns, 1]);
  const meanWith = (value: string) => g.gemm(value, scale, { alpha: 1 / columns });
  const dx = () => {
    const correction = g.add(g.mul(h, meanWith(dyh)), meanWith(dy));
    const weighted = g.mul(dy, g.reshape(scale, [1, columns]));
    return g.reshape(g.mul(g.sub(weighted, correction), inverse), shape);
  };
  const perColumn = (value: string, to: readonly number[]) =>
    g.reduceTo(g.reshape(g.sum(value, [0], false), shape.slice(axis)), to);
  return [
    g.needs(0) ? dx() : undefined,
    g.needs(1) ? perColumn(dyh, scaleShape) : undefined,
    g.hasInput(2) && g.needs(2) ? perColumn(dy, g.shapeOf(g.input(2))) : undefined,
  ];
}

/** Mean and variance of each channel over batch and space, with axes of length 1: [1, C, 1, ...]. */
export function batchStatistics(f: Formula, x: string): { mean: string; variance: string } {
  const shape = f.shapeOf(x);
  const [batch, channels] = [shape[0]!, shape[1]!];
  const space = sizeOf(shape.slice(2));
  // two reductions, each over one axis of a matrix-like shape: engines have no fast path for both at once
  const average = (value: string) => {
    const perImage = f.mean(f.reshape(value, [batch, channels, space]), [2], false);
    return f.reshape(f.mean(perImage, [0], false), keptChannels(shape));
  };
  const mean = average(x);
  const centred = f.sub(x, mean);
  return { mean, variance: average(f.mul(centred, centred)) };
}

function keptChannels(shape: readonly number[]): number[] {
  return shape.map((dim, axis) => (axis === 1 ? dim : 1));
}

/** Sums over batch and space: [N, C, ...] to [C]. */
export function sumPerChannel(f: Formula, value: string): string {
  const shape = f.shapeOf(value);
  const flat = f.reshape(value, [shape[0]!, shape[1]!, sizeOf(shape.slice(2))]);
  return f.sum(f.sum(flat, [2], false), [0], false);
}

/**
 * BatchNormalization with the statistics of the batch (training form) or with those it was given.
 *
 * Running statistics are state and get no gradient, as in PyTorch. Statistics that the model computes itself (exporters
 * write a normalization without running statistics so) do: with w = scale / std and h = (x - mean) / std,
 * dmean = -sum(dy) w and dvariance = -sum(dy h) w / (2 std).
 */
function batchNormalization(g: GradientContext): (string | undefined)[] {
  const { x, dy } = g;
  const shape = g.shapeOf(x);
  const channels = keptChannels(shape);
  const training = intAttribute(g.node, 'training_mode', 0) === 1;
  const epsilon = floatAttribute(g.node, 'epsilon', 1e-5);
  const perChannel = (value: string) => g.reshape(g.cast(value, g.typeOf(x).dtype), channels);
  const { mean, variance } = training
    ? batchStatistics(g, x)
    : { mean: perChannel(g.input(3)), variance: perChannel(g.input(4)) };
  const inverse = inverseDeviation(g, variance, epsilon);
  const scale = g.mul(perChannel(g.input(1)), inverse);
  const h = () => g.mul(g.sub(x, mean), inverse);
  const dBias = () => sumPerChannel(g, dy);
  const dScale = () => sumPerChannel(g, g.mul(dy, h()));
  const dx = () => {
    if (!training) return g.mul(dy, scale);
    const share = channels[1]! / sizeOf(shape);
    const correction = g.add(
      g.mul(h(), g.mul(perChannel(dScale()), share)),
      g.mul(perChannel(dBias()), share),
    );
    return g.mul(g.sub(dy, correction), scale);
  };
  const given = (input: number, sum: string, factor: string) =>
    g.cast(g.mul(sum, g.reshape(factor, g.shapeOf(sum))), g.typeOf(g.input(input)).dtype);
  return [
    g.needs(0) ? dx() : undefined,
    g.needs(1) ? dScale() : undefined,
    g.needs(2) ? dBias() : undefined,
    !training && g.needs(3) ? given(3, g.neg(dBias()), scale) : undefined,
    !training && g.needs(4) ? given(4, g.mul(dScale(), -0.5), g.mul(scale, inverse)) : undefined,
  ];
}

export const normalizationRules: RuleTable = {
  LayerNormalization: layerNormalization,
  BatchNormalization: batchNormalization,
};
