import { attribute, intAttribute, type Node } from '../ir/graph.js';
import { toReference } from '../reference/value.js';
import { isOperator } from './needless.js';
import type { RewriteRule, Site } from './rewrite.js';

/**
 * LayerNormalization as exporters before opset 17 write it: the mean over the trailing axes is subtracted, the
 * result divided by sqrt(mean of its square + epsilon), scaled and shifted. One operator has a shorter gradient.
 */
export const recognizeLayerNormalization: RewriteRule = (site) => {
  const { node, f } = site;
  if (!isOperator(node, 'Add')) return undefined;
  for (const [sum, bias] of ordered(node)) {
    const scaled = site.producer(sum);
    if (!isOperator(scaled, 'Mul')) continue;
    for (const [normal, scale] of ordered(scaled)) {
      const found = normalized(site, normal);
      if (!found) continue;
      const shape = f.shapeOf(found.x).slice(found.axis);
      const fits = [scale, bias].every((value) => sameTail(f.shapeOf(value), shape));
      if (!fits) continue;
      return f.builder.add(
        'LayerNormalization',
        [found.x, f.reshape(scale, shape), f.reshape(bias, shape)],
        { axis: attribute.int(found.axis), epsilon: attribute.float(found.epsilon) },
        { outputs: 1 },
      );
    }
  }
  return undefined;
};

interface Normalized {
  readonly x: string;
  readonly axis: number;
  readonly epsilon: number;
}

/** (x - mean) / sqrt(variance + epsilon) over trailing axes. */
function normalized(site: Site, value: string): Normalized | undefined {
  const division = site.producer(value);
  if (!isOperator(division, 'Div')) return undefined;
  const [centred, deviation] = division.inputs as [string, string];
  const difference = site.producer(centred);
  const root = site.producer(deviation);
  if (!isOperator(difference, 'Sub') || !isOperator(root, 'Sqrt')) return undefined;
  const [x, mean] = difference.inputs as [string, string];
  const axis = meanOf(site, mean, (averaged) => averaged === x);
  const shifted = site.producer(root.inputs[0]!);
  if (axis === undefined || !isOperator(shifted, 'Add')) return undefined;
  for (const [variance, constant] of ordered(shifted)) {
    const epsilon = site.f.numberOf(constant);
    if (epsilon === undefined) continue;
    if (meanOf(site, variance, (averaged) => isSquare(site, averaged, centred)) === axis)
      return { x, axis, epsilon };
  }
  return undefined;
}

/** The first axis of a mean over trailing axes with kept dimensions, of what `accepts` takes. */
function meanOf(site: Site, value: string, accepts: (averaged: string) => boolean): number | undefined {
  const node = site.producer(value);
  if (!isOperator(node, 'ReduceMean') || intAttribute(node, 'keepdims', 1) !== 1) return undefined;
  const axes = node.inputs[1] === undefined ? undefined : site.f.builder.constantOf(node.inputs[1]);
  if (!axes || !accepts(node.inputs[0]!)) return undefined;
  const rank = site.f.rankOf(node.inputs[0]!);
  const sorted = [...toReference(axes).data]
    .map((axis) => (axis < 0 ? axis + rank : axis))
    .sort((a, b) => a - b);
  return sorted.every((axis, i) => axis === rank - sorted.length + i) ? sorted[0] : undefined;
}

function isSquare(site: Site, value: string, of: string): boolean {
  const node = site.producer(value);
  if (!node || node.domain !== '' || node.inputs[0] !== of) return false;
  const second = node.inputs[1]!;
  return node.operator === 'Pow' ? site.f.numberOf(second) === 2 : node.operator === 'Mul' && second === of;
}

/** The exact Gelu as exporters write it: x (1 + erf(x / sqrt 2)) / 2, its factors in any order. */
export const recognizeGelu: RewriteRule = (site) => {
  const { node, f } = site;
  if (!isOperator(node, 'Mul')) return undefined;
  const factors = factorsOf(site, node);
  if (factors.length !== 3) return undefined;
  const half = factors.findIndex((value) => f.numberOf(value) === 0.5);
  if (half < 0) return undefined;
  const [a, b] = factors.filter((_, i) => i !== half) as [string, string];
  for (const [x, gate] of [
    [a, b],
    [b, a],
  ] as const) {
    if (isGate(site, gate, x)) return f.builder.add('Gelu', [x], {}, { outputs: 1 });
  }
  return undefined;
};

/** 1 + erf(x / sqrt 2) */
function isGate(site: Site, value: string, x: string): boolean {
  const sum = site.producer(value);
  if (!isOperator(sum, 'Add')) return false;
  return ordered(sum).some(([erf, one]) => {
    const node = site.producer(erf);
    if (site.f.numberOf(one) !== 1 || !isOperator(node, 'Erf')) return false;
    const scaled = site.producer(node.inputs[0]!);
    if (!scaled || scaled.domain !== '') return false;
    if (scaled.operator === 'Div') {
      return scaled.inputs[0] === x && isClose(site, scaled.inputs[1]!, Math.SQRT2);
    }
    if (scaled.operator !== 'Mul') return false;
    return ordered(scaled).some(([from, factor]) => from === x && isClose(site, factor, Math.SQRT1_2));
  });
}

/** The factors of a product of products, one level deep. */
function factorsOf(site: Site, node: Node): string[] {
  return node.inputs.flatMap((value) => {
    const inner = site.producer(value);
    return isOperator(inner, 'Mul') ? inner.inputs : [value];
  });
}

function isClose(site: Site, value: string, to: number): boolean {
  const found = site.f.numberOf(value);
  return found !== undefined && Math.abs(found - to) < 1e-6;
}

/** Both ways to read the operands of a commutative node. */
function ordered(node: Node): [string, string][] {
  const [a, b] = node.inputs as [string, string];
  return [
    [a, b],
    [b, a],
  ];
}

/** Whether a shape is `tail`, with axes of length 1 in front or not. */
function sameTail(shape: readonly number[], tail: readonly number[]): boolean {
  const lead = shape.length - tail.length;
  return lead >= 0 && shape.every((dim, i) => dim === (i < lead ? 1 : tail[i - lead]));
}
