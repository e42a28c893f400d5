import { sizeOf, stridesOf } from '../../../../graph/index.js';
import { transposedOf, type Window } from '../../../../graph/operators/index.js';
import type { KernelRule, KernelRules } from '../kernel.js';
import { correlationKernels, isProduct, placesIn, pointwiseKernels, roundedUp } from './convolution.js';
import type { Tap } from './correlation.js';

/** Input place t + `offset` reaches an output place of residue `phase` through kernel element `tap`. */
interface Reach {
  readonly tap: number;
  readonly offset: number;
}

/**
 * Output place o = stride t + p takes from input place i through kernel element k where i stride + k dilation - begin =
 * o. So for each residue p of the strides the kernel elements that count are known, and with them the sum is a
 * convolution of stride 1: no input element is tried in vain.
 */
const convTranspose: KernelRule = (node, context) => {
  const found = transposedOf(
    node,
    node.inputs.map((name) => (name === '' ? undefined : context.typeOf(name))),
  );
  const { x, groups, channels, placed, output } = found;
  const { window } = placed;
  const [inputs, width] = [x.shape[1]!, channels / groups];
  const spatial = x.shape.slice(2);
  const same = output.every((length, axis) => length === spatial[axis]);
  if (same && isProduct(window, groups)) return pointwiseKernels(node, found, [1, channels], context);
  const positions = roundedUp(
    output.map((length, axis) => Math.ceil(length / window.strides[axis]!)),
    context.backend,
  );
  const reaches = spatial.map((_, axis) => reachesOf(window, axis));
  const offsets = reaches.map((phases) => phases.flat().map(({ offset }) => offset));
  const begins = offsets.map((list) => Math.max(0, -Math.min(0, ...list)));
  const plane = spatial.map((length, axis) =>
    Math.max(begins[axis]! + length, positions[axis]! + begins[axis]! + Math.max(0, ...offsets[axis]!)),
  );
  const taps = sizeOf(window.kernel);
  const depth = inputs / groups;
  return correlationKernels(node, context, found, {
    begins,
    plane,
    positions,
    steps: output.map(() => 1),
    strides: window.strides,
    depth,
    width,
    weightStrides: { depth: width * taps, width: taps, group: depth * width * taps },
    phasesOf: (bordered) =>
      placesIn(window.strides).map((phase) =>
        combined(
          phase.map((residue, axis) => reaches[axis]![residue]!),
          begins,
          stridesOf(bordered),
          stridesOf(window.kernel),
        ),
      ),
  });
};

/** By residue of the stride: which elements of the kernel's axis count, and where they read. */
function reachesOf(
  { kernel, strides, dilations, begins }: Window,
  axis: number,
): readonly (readonly Reach[])[] {
  const stride = strides[axis]!;
  return Array.from({ length: stride }, (_, phase) =>
    Array.from({ length: kernel[axis]! }, (_, tap) => ({
      tap,
      offset: (phase + begins[axis]! - tap * dilations[axis]!) / stride,
    })).filter(({ offset }) => Number.isInteger(offset)),
  );
}

/** The taps of all axes together. */
function combined(
  axes: readonly (readonly Reach[])[],
  begins: readonly number[],
  plane: readonly number[],
  kernel: readonly number[],
): readonly Tap[] {
  return axes.reduce<readonly Tap[]>(
    (taps, reaches, axis) =>
      taps.flatMap(({ input, weight }) =>
        reaches.map(({ tap, offset }) => ({
          input: input + (offset + begins[axis]!) * plane[axis]!,
          weight: weight + tap * kernel[axis]!,
        })),
      ),
    [{ input: 0, weight: 0 }],
  );
}

export const transposedConvolutionKernels: KernelRules = { ConvTranspose: convTranspose };
