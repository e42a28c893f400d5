import { attribute } from '../../ir/graph.js';
import type { Formula } from '../../formula/index.js';
import type { Window } from './window.js';

/** What the gradient of a convolution's input is made of. */
export interface Sources {
  /** One value for each window and output channel: [N, g * m, ...window.output]. */
  readonly gradient: string;
  /** [g * m, c, ...kernel] */
  readonly weight: string;
}

/** A way to write the gradient; the result is [N, g * c, ...window.input]. */
type InputGradientForm = (f: Formula, sources: Sources, window: Window, groups: number) => string;

/** Fewer output channels than a block of onnxruntime's convolution kernels leave most of a block idle. */
const FEW_CHANNELS = 8;

/** A convolution of dY with the weights flipped in space and their channels exchanged; for strides of 1. */
const convolution: InputGradientForm = (f, { gradient, weight }, window, groups) =>
  f.one('Conv', [gradient, mirrored(f, weight, groups)], {
    group: attribute.int(groups),
    dilations: attribute.ints(window.dilations),
    kernel_shape: attribute.ints(window.kernel),
    pads: attribute.ints(mirroredPads(window)),
  });

/** The transposed convolution; for any stride. */
const transposed: InputGradientForm = (f, { gradient, weight }, window, groups) =>
  f.one('ConvTranspose', [gradient, weight], {
    group: attribute.int(groups),
    dilations: attribute.ints(window.dilations),
    kernel_shape: attribute.ints(window.kernel),
    strides: attribute.ints(window.strides),
    pads: attribute.ints([...window.before, ...window.after.map((pad) => Math.max(0, pad))]),
    // elements behind the last window are given back as zeros
    output_padding: attribute.ints(window.after.map((pad) => Math.max(0, -pad))),
  });

/** The forms by name; all give the same where they apply. */
export const inputGradientForms = { convolution, transposed } as const;

/** Whether the gradient can be written as a convolution. */
export function isConvolution(window: Window): boolean {
  return window.strides.every((stride) => stride === 1) && mirroredPads(window).every((pad) => pad >= 0);
}

/**
 * The form measured fastest for a class of shapes (bench/convolution-gradients.ts): in one or three dimensions
 * engines run the convolution three to six times faster than the transposed one; in two dimensions it is a little
 * faster, except where it has fewer than 8 output channels.
 */
export function chooseInputForm(
  weight: readonly number[],
  window: Window,
  groups: number,
): keyof typeof inputGradientForms {
  const narrow = window.kernel.length === 2 && groups === 1 && weight[1]! < FEW_CHANNELS;
  return !narrow && isConvolution(window) ? 'convolution' : 'transposed';
}

/** The gradient of a convolution's input. */
export function inputGradient(f: Formula, sources: Sources, window: Window, groups: number): string {
  const form = chooseInputForm(f.shapeOf(sources.weight), window, groups);
  return inputGradientForms[form](f, sources, window, groups);
}

function mirroredPads({ kernel, dilations, before, after }: Window): number[] {
  const mirror = (pads: readonly number[]) => pads.map((pad, i) => dilations[i]! * (kernel[i]! - 1) - pad);
  return [...mirror(before), ...mirror(after)];
}

/** [g * m, c, ...kernel] -> [g * c, m, ...kernel], flipped in space. */
function mirrored(f: Formula, weight: string, groups: number): string {
  const [outputs, channels, ...kernel] = f.shapeOf(weight) as [number, number, ...number[]];
  const perGroup = outputs / groups;
  const spatial = kernel.map((_, i) => i);
  const apart = f.reshape(weight, [groups, perGroup, channels, ...kernel]);
  const exchanged = f.transpose(apart, [0, 2, 1, ...spatial.map((i) => i + 3)]);
  return f.reverse(
    f.reshape(exchanged, [groups * channels, perGroup, ...kernel]),
    spatial.map((i) => i + 2),
  );
}
