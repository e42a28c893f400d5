import { attribute, intAttribute } from '../../ir/graph.js';
import type { GradientContext, RuleTable } from '../context.js';
import { sumPerChannel } from './normalization.js';
import { weightGradient } from './convolution-weights.js';
import { inputGradient } from './convolution-inputs.js';
import { windowOf } from './window.js';

/** Y = conv(X, W) + B, in any number of spatial dimensions, with groups, strides and dilations. */
function conv(g: GradientContext): (string | undefined)[] {
  const weight = g.shapeOf(g.input(1));
  const window = windowOf(g.node, weight.slice(2), g.shapeOf(g.x).slice(2), g.shapeOf(g.y).slice(2));
  const groups = intAttribute(g.node, 'group', 1);
  return [
    g.needs(0) ? inputGradient(g, { gradient: g.dy, weight: g.input(1) }, window, groups) : undefined,
    g.needs(1)
      ? weightGradient(g, { input: g.x, gradient: g.dy, weight: g.shapeOf(g.input(1)) }, window, groups)
      : undefined,
    g.hasInput(2) && g.needs(2) ? sumPerChannel(g, g.dy) : undefined,
  ];
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
