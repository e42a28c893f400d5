import { attribute, intAttribute } from '../../ir/graph.js';
import { sizeOf } from '../../ir/tensor.js';
import type { GradientContext, RuleTable } from '../context.js';
import { sumPerChannel } from './normalization.js';
import { unfold, windowOf, type Window } from './window.js';

/** Y = conv(X, W) + B, in any number of spatial dimensions, with groups, strides and dilations. */
function conv(g: GradientContext): (string | undefined)[] {
  const weight = g.shapeOf(g.input(1));
  const window = windowOf(g.node, weight.slice(2), g.shapeOf(g.x).slice(2), g.shapeOf(g.y).slice(2));
  const groups = intAttribute(g.node, 'group', 1);
  return [
    g.needs(0) ? inputGradient(g, window, groups) : undefined,
    g.needs(1) ? weightGradient(g, { input: g.x, gradient: g.dy }, window, groups) : undefined,
    g.hasInput(2) && g.needs(2) ? sumPerChannel(g, g.dy) : undefined,
  ];
}

/**
 * With stride 1, a convolution of dY with the flipped, transposed weights, which engines run faster than the
 * transposed convolution that serves the other strides.
 */
function inputGradient(g: GradientContext, window: Window, groups: number): string {
  const { kernel, strides, dilations, before, after } = window;
  const mirrored = (pads: readonly number[]) => pads.map((pad, i) => dilations[i]! * (kernel[i]! - 1) - pad);
  const pads = [...mirrored(before), ...mirrored(after)];
  const common = { group: attribute.int(groups), dilations: attribute.ints(dilations) };
  if (strides.every((stride) => stride === 1) && pads.every((pad) => pad >= 0)) {
    const attributes = { ...common, kernel_shape: attribute.ints(kernel), pads: attribute.ints(pads) };
    return g.one('Conv', [g.dy, mirrorWeights(g, groups)], attributes);
  }
  return g.one('ConvTranspose', [g.dy, g.input(1)], {
    ...common,
    kernel_shape: attribute.ints(kernel),
    strides: attribute.ints(strides),
    pads: attribute.ints([...before, ...after.map((pad) => Math.max(0, pad))]),
    // elements behind the last window are given back as zeros
    output_padding: attribute.ints(after.map((pad) => Math.max(0, -pad))),
  });
}

/** [g * m, c, ...kernel] -> [g * c, m, ...kernel], flipped in space. */
function mirrorWeights(g: GradientContext, groups: number): string {
  const weight = g.input(1);
  const [outputs, channels, ...kernel] = g.shapeOf(weight) as [number, number, ...number[]];
  const perGroup = outputs / groups;
  const spatial = kernel.map((_, i) => i);
  const apart = g.reshape(weight, [groups, perGroup, channels, ...kernel]);
  const exchanged = g.transpose(apart, [0, 2, 1, ...spatial.map((i) => i + 3)]);
  return g.reverse(
    g.reshape(exchanged, [groups * channels, perGroup, ...kernel]),
    spatial.map((i) => i + 2),
  );
}

/**
 * Y = convTranspose(X, W) + B: the adjoint of a convolution from Y's space to X's, so that its gradients are that
 * convolution, and the weight gradient with the roles of X and dY exchanged.
 */
function convTranspose(g: GradientContext): (string | undefined)[] {
  const kernel = g.shapeOf(g.input(1)).slice(2);
  const window = windowOf(g.node, kernel, g.shapeOf(g.y).slice(2), g.shapeOf(g.x).slice(2));
  const groups = intAttribute(g.node, 'group', 1);
  const dx = () => {
    const crop = [0, 0, ...window.after.map((pad) => Math.min(0, pad))];
    const reached = g.pad(
      g.dy,
      crop.map(() => 0),
      crop,
    );
    return g.one('Conv', [reached, g.input(1)], {
      kernel_shape: attribute.ints(kernel),
      strides: attribute.ints(window.strides),
      dilations: attribute.ints(window.dilations),
      pads: attribute.ints([...window.before, ...window.after.map((pad) => Math.max(0, pad))]),
      group: attribute.int(groups),
    });
  };
  return [
    g.needs(0) ? dx() : undefined,
    g.needs(1) ? weightGradient(g, { input: g.dy, gradient: g.x }, window, groups) : undefined,
    g.hasInput(2) && g.needs(2) ? sumPerChannel(g, g.dy) : undefined,
  ];
}

/**
 * One matrix product per group over all samples and positions: dW = dY cols', where cols holds the part of the
 * input that each position of the kernel meets (im2col).
 */
function weightGradient(
  g: GradientContext,
  pair: { readonly input: string; readonly gradient: string },
  window: Window,
  groups: number,
): string {
  const [batch, channels, ...space] = g.shapeOf(pair.input) as [number, number, ...number[]];
  const weight = g.shapeOf(g.input(1));
  const perGroup = { inputs: channels / groups, outputs: weight[0]! / groups };
  const places = batch * sizeOf(window.output);
  const taps = sizeOf(window.kernel);
  /** [N, g * c, ...space] -> [g, c, N, ...space] */
  const channelsFirst = (value: string, count: number, spatial: readonly number[]) => {
    const apart = g.reshape(value, [batch, groups, count, sizeOf(spatial)]);
    return g.reshape(g.transpose(apart, [1, 2, 0, 3]), [groups, count, batch, ...spatial]);
  };
  const parts = unfold(g, channelsFirst(pair.input, perGroup.inputs, space), window);
  const rows = parts.map((part) => g.reshape(part, [groups, perGroup.inputs, places]));
  const columns = g.concat(rows, 1);
  const dy = g.reshape(channelsFirst(pair.gradient, perGroup.outputs, window.output), [
    groups,
    perGroup.outputs,
    places,
  ]);
  const product =
    groups === 1
      ? g.gemm(
          g.reshape(dy, [perGroup.outputs, places]),
          g.reshape(columns, [taps * perGroup.inputs, places]),
          {
            transB: true,
          },
        )
      : g.matmul(dy, g.transposeLast(columns));
  // columns are ordered (tap, channel), weights (channel, tap)
  const apart = g.reshape(product, [weight[0]!, taps, perGroup.inputs]);
  return g.reshape(g.transpose(apart, [0, 2, 1]), weight);
}

export const convolutionRules: RuleTable = { Conv: conv, ConvTranspose: convTranspose };
