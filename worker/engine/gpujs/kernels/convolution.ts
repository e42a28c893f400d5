import { sizeOf, stridesOf, type Node } from '../../../../graph/index.js';
import { convolutionOf, spanOf, type Convolution, type Window } from '../../../../graph/operators/index.js';
import type { Backend, Kernel, KernelContext, KernelRule, KernelRules } from '../kernel.js';
import { bordered, interleaved } from './border.js';
import { correlationKernel, type Correlation, type Tap } from './correlation.js';
import type { Factor } from './factor.js';
import { productKernels } from './product-forms.js';

const conv: KernelRule = (node, context) => {
  const found = convolutionOf(
    node,
    node.inputs.map((name) => (name === '' ? undefined : context.typeOf(name))),
  );
  const { x, groups, channels, placed, output } = found;
  const { window } = placed;
  if (isProduct(window, groups)) return pointwiseKernels(node, found, [x.shape[1]!, 1], context);
  const spatial = x.shape.slice(2);
  const positions = roundedUp(output, context.backend);
  const needed = positions.map((count, axis) => (count - 1) * window.strides[axis]! + spanOf(window, axis));
  const depth = x.shape[1]! / groups;
  const width = channels / groups;
  const taps = sizeOf(window.kernel);
  return correlationKernels(node, context, found, {
    begins: window.begins,
    plane: spatial.map((length, axis) => Math.max(window.begins[axis]! + length, needed[axis]!)),
    positions,
    steps: window.strides,
    strides: output.map(() => 1),
    depth,
    width,
    weightStrides: { depth: taps, width: depth * taps, group: width * depth * taps },
    phasesOf: (plane) => [tapsOf(window, stridesOf(plane))],
  });
};

function tapsOf({ kernel, dilations }: Window, strides: readonly number[]): readonly Tap[] {
  return placesIn(kernel).map((at, weight) => ({
    weight,
    input: at.reduce((sum, k, axis) => sum + k * dilations[axis]! * strides[axis]!, 0),
  }));
}

/** Every place in `shape`, row by row. */
export function placesIn(shape: readonly number[]): readonly (readonly number[])[] {
  return shape.reduce<readonly (readonly number[])[]>(
    (places, length) => places.flatMap((place) => Array.from({ length }, (_, at) => [...place, at])),
    [[]],
  );
}

/** WebAssembly computes four neighbours at once: rows are rounded up to fours and cut afterwards where that is little. */
export function roundedUp(positions: readonly number[], backend: Backend): readonly number[] {
  const last = positions.at(-1)!;
  return backend === 'wasm' && last >= 3 ? [...positions.slice(0, -1), Math.ceil(last / 4) * 4] : positions;
}

/** A window of one element that takes every place, without groups: a product. */
export function isProduct(window: Window, groups: number): boolean {
  return (
    groups === 1 &&
    window.kernel.every((length) => length === 1) &&
    window.strides.every((stride) => stride === 1) &&
    [...window.begins, ...window.ends].every((pad) => pad === 0)
  );
}

/** Channels of the output as a product of channels of the input. @param strides of the weight: by output, by input */
export function pointwiseKernels(
  node: Node,
  { x, channels, output }: Convolution,
  [row, column]: readonly [number, number],
  context: KernelContext,
): readonly Kernel[] {
  const [samples, depth] = x.shape as [number, number];
  const places = sizeOf(output);
  const weight: Factor = { value: node.inputs[1]!, row, column, batch: [0] };
  const bias = node.inputs[2];
  const addend = (rows: boolean) =>
    bias ? { addend: { value: bias, beta: 1, row: rows ? 1 : 0, column: rows ? 0 : 1 } } : {};
  const same = { k: depth, alpha: 1, output: node.outputs[0]! };
  if (places === 1) {
    const a: Factor = { value: node.inputs[0]!, row: depth, column: 1, batch: [] };
    const b: Factor = { ...weight, row: column, column: row, batch: [] };
    return productKernels({ ...same, m: samples, n: channels, batch: [], a, b, ...addend(false) }, context);
  }
  const b: Factor = { value: node.inputs[0]!, row: places, column: 1, batch: [depth * places] };
  return productKernels(
    { ...same, m: channels, n: places, batch: [samples], a: weight, b, ...addend(true) },
    context,
  );
}

/** How a convolution of either direction goes over its input, borders and all. */
export interface Course extends Pick<
  Correlation,
  'positions' | 'steps' | 'depth' | 'width' | 'weightStrides'
> {
  readonly begins: readonly number[];
  /** The input with its borders. */
  readonly plane: readonly number[];
  /** Phases along each axis of the output. */
  readonly strides: readonly number[];
  phasesOf(plane: readonly number[]): Correlation['phases'];
}

/** Borders where they are needed, the sums, and the order of the output where they come in another. */
export function correlationKernels(
  node: Node,
  context: KernelContext,
  { x, groups, output }: Convolution,
  course: Course,
): readonly Kernel[] {
  const { backend } = context;
  const spatial = x.shape.slice(2);
  const [samples, channels] = x.shape as [number, number];
  const kernels: Kernel[] = [];
  let input = node.inputs[0]!;
  if (course.plane.some((length, axis) => length !== spatial[axis])) {
    const to = context.fresh('bordered');
    kernels.push(bordered(backend, input, samples * channels, spatial, course.begins, course.plane, to));
    input = to;
  }
  const inOrder =
    course.strides.every((stride) => stride === 1) &&
    course.positions.every((count, axis) => count === output[axis]);
  const sums = inOrder ? node.outputs[0]! : context.fresh('sums');
  kernels.push(
    correlationKernel(
      {
        ...course,
        input,
        weight: node.inputs[1]!,
        bias: node.inputs[2] === '' ? undefined : node.inputs[2],
        samples,
        groups,
        phases: course.phasesOf(course.plane),
        output: sums,
      },
      context,
    ),
  );
  if (!inOrder) {
    const planes = samples * groups * course.width;
    const { strides, positions } = course;
    kernels.push(interleaved(backend, sums, planes, strides, positions, output, node.outputs[0]!));
  }
  return kernels;
}

export const convolutionKernels: KernelRules = { Conv: conv };
