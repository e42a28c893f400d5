import { attribute, intAttribute } from '../../ir/graph.js';
import type { GradientContext, RuleTable } from '../context.js';
import { sumPerChannel } from './normalization.js';
import { weightGradient } from './convolution-weights.js';
import { windowOf, type Window } from './window.js';

/** Y = conv(X, W) + B, in any number of spatial dimensions, with groups, strides and dilations. */
function conv(g: GradientContext): (string | undefined)[] {
  const weight = g.shapeOf(g.input(1));
  const window = windowOf(g.node, weight.slice(2), g.shapeOf(g.x).slice(2), g.shapeOf(g.y).slice(2));
  const groups = intAttribute(g.node, 'group', 1);
  return [
    g.needs(0) ? inputGradient(g, window, groups) : undefined,
    g.needs(1)
      ? weightGradient(g, { input: g.x, gradient: g.dy, weight: g.shapeOf(g.input(1)) }, window, groups)
      : undefined,
    g.hasInput(2) && g.needs(2) ? sumPerChannel(g, g.dy) : undefined,
  ];
}

/** Fewer output channels than a block of onnxruntime's convolution kernels leave most of a block idle. */
const FEW_CHANNELS = 8;

/**
 * With stride 1, a convolution of dY with the flipped, transposed weights, which engines run faster than the
 * transposed convolution that serves the other strides (in one or three dimensions three to six times; in two
 * dimensions it is the other way round for fewer than 8 channels: bench/convolution-gradients.ts).
 */
function inputGradient(g: GradientContext, window: Window, groups: number): string {
  const { kernel, strides, dilations, before, after } = window;
  const mirrored = (pads: readonly number[]) => pads.map((pad, i) => dilations[i]! * (kernel[i]! - 1) - pad);
  const pads = [...mirrored(before), ...mirrored(after)];
  const common = { group: attribute.int(groups), dilations: attribute.ints(dilations) };
  const narrow = kernel.length === 2 && groups === 1 && g.shapeOf(g.x)[1]! < FEW_CHANNELS;
  if (!narrow && strides.every((stride) => stride === 1) && pads.every((pad) => pad >= 0)) {
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
    g.needs(1)
      ? weightGradient(g, { input: g.dy, gradient: g.x, weight: g.shapeOf(g.input(1)) }, window, groups)
      : undefined,
    g.hasInput(2) && g.needs(2) ? sumPerChannel(g, g.dy) : undefined,
  ];
}

export const convolutionRules: RuleTable = { Conv: conv, ConvTranspose: convTranspose };
