import { attribute, intAttribute, intsAttribute } from '../../ir/graph.js';
import { sizeOf } from '../../ir/tensor.js';
import { pooled } from '../../operators/pooling.js';
import type { GradientContext, RuleTable } from '../context.js';
import { positionsOf, unfold, windowOf, type Window } from './window.js';

function windowOfPool(g: GradientContext): Window {
  const kernel = intsAttribute(g.node, 'kernel_shape') ?? [];
  return windowOf(g.node, kernel, g.shapeOf(g.x).slice(2), g.shapeOf(g.y).slice(2));
}

/**
 * The first element that equals the maximum takes a window's gradient, as in PyTorch. Indices of MaxPool are
 * not used: the WebGPU provider of onnxruntime does not give them.
 */
function maxPool(g: GradientContext): string[] {
  const window = windowOfPool(g);
  let left = g.dy;
  const taken = unfold(g, g.x, window, -Infinity).map((part, i, parts) => {
    const isMaximum = g.equal(part, g.y);
    const take = g.where(isMaximum, left, 0);
    if (i < parts.length - 1) left = g.where(isMaximum, 0, left);
    return take;
  });
  return [fold(g, taken, window)];
}

/**
 * The adjoint of `unfold`: adds what each position of each window holds to the element it came from. A transposed
 * convolution with one input channel for each position, whose kernel is 1 there and 0 elsewhere.
 */
function fold(g: GradientContext, parts: readonly string[], window: Window): string {
  const images = sizeOf(g.shapeOf(g.x).slice(0, 2));
  const taps = parts.length;
  const stacked = g.concat(
    parts.map((part) => g.reshape(part, [images, 1, ...window.output])),
    1,
  );
  const hot = new Float64Array(taps * taps);
  for (let tap = 0; tap < taps; tap++) hot[tap * taps + tap] = 1;
  const weight = g.constant(g.typeOf(g.x).dtype, [taps, 1, ...window.kernel], hot);
  return g.reshape(transposedConvolution(g, stacked, weight, window), g.shapeOf(g.x));
}

function transposedConvolution(g: GradientContext, x: string, weight: string, window: Window): string {
  return g.one('ConvTranspose', [x, weight], {
    kernel_shape: attribute.ints(window.kernel),
    strides: attribute.ints(window.strides),
    dilations: attribute.ints(window.dilations),
    pads: attribute.ints([...window.before, ...window.after.map((pad) => Math.max(0, pad))]),
    output_padding: attribute.ints(window.after.map((pad) => Math.max(0, -pad))),
  });
}

/** Each element of a window gets the same part of its gradient. */
function averagePool(g: GradientContext): string[] {
  const window = windowOfPool(g);
  const { dtype } = g.typeOf(g.x);
  const images = sizeOf(g.shapeOf(g.x).slice(0, 2));
  const counts = elementsPerWindow(g, window);
  const share = counts.every((count) => count === counts[0])
    ? g.mul(g.dy, 1 / counts[0]!)
    : g.mul(
        g.dy,
        g.constant(
          dtype,
          window.output,
          counts.map((count) => 1 / count),
        ),
      );
  const ones = g.filled([1, 1, ...window.kernel], 1, dtype);
  const flat = g.reshape(share, [images, 1, ...window.output]);
  return [g.reshape(transposedConvolution(g, flat, ones, window), g.shapeOf(g.x))];
}

/**
 * What each window's sum was divided by: with count_include_pad, positions within the declared padding count
 * too; those that only the ceiling mode adds never do.
 */
function elementsPerWindow(g: GradientContext, window: Window): number[] {
  const includePad = intAttribute(g.node, 'count_include_pad', 0) === 1;
  const declared = pooled(g.node, [g.typeOf(g.x)], 'float').placed.window.ends;
  const along = window.kernel.map((size, i) => {
    const before = window.before[i]!;
    const low = includePad ? -before : 0;
    const high = window.input[i]! + (includePad ? declared[i]! : 0);
    return Array.from({ length: window.output[i]! }, (_, at) => {
      let count = 0;
      for (let tap = 0; tap < size; tap++) {
        const place = at * window.strides[i]! - before + tap * window.dilations[i]!;
        if (place >= low && place < high) count++;
      }
      return count;
    });
  });
  return positionsOf(window.output).map((place) => place.reduce((count, at, i) => count * along[i]![at]!, 1));
}

function globalAveragePool(g: GradientContext): string[] {
  const shape = g.shapeOf(g.x);
  return [g.expandTo(g.mul(g.dy, 1 / sizeOf(shape.slice(2))), shape)];
}

/** The first maximum of each image takes the gradient. */
function globalMaxPool(g: GradientContext): string[] {
  const shape = g.shapeOf(g.x);
  const rows = [sizeOf(shape.slice(0, 2)), sizeOf(shape.slice(2))];
  const flat = g.reshape(g.x, rows);
  const first = g.one('ArgMax', [flat], { axis: attribute.int(1), keepdims: attribute.int(1) });
  const inputs = [g.zeros(g.typeOf(flat)), first, g.reshape(g.dy, [rows[0]!, 1])];
  return [g.reshape(g.one('ScatterElements', inputs, { axis: attribute.int(1) }), shape)];
}

export const poolingRules: RuleTable = {
  MaxPool: maxPool,
  AveragePool: averagePool,
  GlobalAveragePool: globalAveragePool,
  GlobalMaxPool: globalMaxPool,
};
