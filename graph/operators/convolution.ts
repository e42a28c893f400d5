import { ShapeError } from '../errors.js';
import { intAttribute, intsAttribute, type Node } from '../ir/graph.js';
import { formatType, sizeOf, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition, Reference } from './definition.js';
import { define, operand, sameType, valueOf } from './operands.js';
import {
  autoPadOf,
  declaredWindow,
  kernelShape,
  placeWindow,
  sharePadding,
  spanOf,
  tapTable,
  type Placed,
} from './window.js';

type Types = readonly (TensorType | undefined)[];

export interface Convolution {
  readonly x: TensorType;
  readonly groups: number;
  /** Channels of the output. */
  readonly channels: number;
  /** The window slides over the larger side: Conv's input, ConvTranspose's output. */
  readonly placed: Placed;
  /** Spatial lengths of the output. */
  readonly output: readonly number[];
}

/** The operands that both directions share, checked: X [N, C, ...], W, B [M]. */
function operandsOf(node: Node, inputs: Types): { x: TensorType; w: TensorType; groups: number } {
  const x = operand(node, inputs, 0, 'float');
  const w = operand(node, inputs, 1, 'float');
  sameType(node, x, w, 1);
  const groups = intAttribute(node, 'group', 1);
  if (x.shape.length < 3 || w.shape.length !== x.shape.length) {
    throw new ShapeError(
      node,
      `X is ${formatType(x)} and W ${formatType(w)}; both need N or M, channels and space`,
    );
  }
  if (groups < 1 || x.shape[1]! % groups !== 0 || w.shape[0]! % groups !== 0) {
    throw new ShapeError(
      node,
      `X is ${formatType(x)} and W ${formatType(w)}; group ${groups} does not divide them`,
    );
  }
  return { x, w, groups };
}

function checkBias(node: Node, inputs: Types, channels: number): void {
  const bias = inputs[2];
  if (!bias || (bias.shape.length === 1 && bias.shape[0] === channels)) return;
  throw new ShapeError(node, `B is ${formatType(bias)}; [${channels}] would be accepted`);
}

/** Conv: W is [M, C/groups, kernel...]. */
export function convolutionOf(node: Node, inputs: Types): Convolution {
  const { x, w, groups } = operandsOf(node, inputs);
  if (w.shape[1]! * groups !== x.shape[1]) {
    throw new ShapeError(
      node,
      `X ${formatType(x)} has ${x.shape[1]!} channels; W ${formatType(w)} with group ${groups} takes ${w.shape[1]! * groups}`,
    );
  }
  checkBias(node, inputs, w.shape[0]!);
  const spatial = x.shape.slice(2);
  const placed = placeWindow(
    node,
    declaredWindow(node, kernelShape(node, spatial.length, w.shape.slice(2))),
    spatial,
  );
  return { x, groups, channels: w.shape[0]!, placed, output: placed.output };
}

/** ConvTranspose: W is [C, M/groups, kernel...]; the padding follows from `output_shape` where it is given. */
export function transposedOf(node: Node, inputs: Types): Convolution {
  const { x, w, groups } = operandsOf(node, inputs);
  if (w.shape[0] !== x.shape[1]) {
    throw new ShapeError(
      node,
      `X is ${formatType(x)} and W ${formatType(w)}; W must start with X's channels`,
    );
  }
  const channels = w.shape[1]! * groups;
  checkBias(node, inputs, channels);
  const spatial = x.shape.slice(2);
  const rank = spatial.length;
  const declared = declaredWindow(node, kernelShape(node, rank, w.shape.slice(2)));
  const extra = intsAttribute(node, 'output_padding') ?? new Array<number>(rank).fill(0);
  const asked = intsAttribute(node, 'output_shape');
  const mode = autoPadOf(node);
  const same = mode === 'SAME_UPPER' || mode === 'SAME_LOWER';
  const begins = mode === 'VALID' ? new Array<number>(rank).fill(0) : [...declared.begins];
  const ends = mode === 'VALID' ? new Array<number>(rank).fill(0) : [...declared.ends];
  const output = spatial.map((length, axis) => {
    const stride = declared.strides[axis]!;
    const full = stride * (length - 1) + extra[axis]! + spanOf(declared, axis);
    const wanted = asked ? asked[axis + asked.length - rank] : same ? length * stride : undefined;
    if (wanted === undefined) return full - begins[axis]! - ends[axis]!;
    [begins[axis], ends[axis]] = sharePadding(Math.max(0, full - wanted), mode) as [number, number];
    return wanted;
  });
  if (output.some((length) => length < 0)) {
    throw new ShapeError(node, `its pads leave an output of [${output.join(', ')}]`);
  }
  return { x, groups, channels, placed: { window: { ...declared, begins, ends }, output: spatial }, output };
}

function typeOfOutput({ x, channels, output }: Convolution): TensorType {
  return { dtype: x.dtype, shape: [x.shape[0]!, channels, ...output] };
}

/** The result with every element of a channel set to the channel's bias. */
function biased(type: TensorType, bias: Reference | undefined): Reference {
  const result = valueOf(type);
  if (!bias) return result;
  const block = sizeOf(type.shape.slice(2));
  for (let i = 0; i < type.shape[0]! * type.shape[1]!; i++) {
    result.data.fill(bias.data[i % type.shape[1]!]!, i * block, (i + 1) * block);
  }
  return result;
}

const conv = define(
  'Conv',
  (node, inputs) => [typeOfOutput(convolutionOf(node, inputs))],
  (node, inputs, [type]) => {
    const { x, groups, channels, placed, output } = convolutionOf(node, inputs);
    const [source, weight] = [operand(node, inputs, 0).data, operand(node, inputs, 1).data];
    const table = tapTable(placed, x.shape.slice(2));
    const positions = sizeOf(output);
    const taps = sizeOf(placed.window.kernel);
    const depth = x.shape[1]! / groups;
    const block = sizeOf(x.shape.slice(2));
    const result = biased(type!, inputs[2]);
    for (let plane = 0; plane < x.shape[0]! * channels; plane++) {
      const channel = plane % channels;
      const group = Math.floor(channel / (channels / groups));
      const firstInput = Math.floor(plane / channels) * x.shape[1]! + group * depth;
      for (let c = 0; c < depth; c++) {
        const from = (firstInput + c) * block;
        const at = (channel * depth + c) * taps;
        for (let p = 0; p < positions; p++) {
          let sum = 0;
          for (let k = 0; k < taps; k++) {
            const offset = table[p * taps + k]!;
            if (offset >= 0) sum += weight[at + k]! * source[from + offset]!;
          }
          result.data[plane * positions + p]! += sum;
        }
      }
    }
    return [result];
  },
);

/** Conv's adjoint: every input element adds its multiple of the kernel where Conv would have read. */
const convTranspose = define(
  'ConvTranspose',
  (node, inputs) => [typeOfOutput(transposedOf(node, inputs))],
  (node, inputs, [type]) => {
    const { x, groups, channels, placed, output } = transposedOf(node, inputs);
    const [source, weight] = [operand(node, inputs, 0).data, operand(node, inputs, 1).data];
    const table = tapTable(placed, output);
    const positions = sizeOf(x.shape.slice(2));
    const taps = sizeOf(placed.window.kernel);
    const [depth, width] = [x.shape[1]! / groups, channels / groups];
    const block = sizeOf(output);
    const result = biased(type!, inputs[2]);
    for (let plane = 0; plane < x.shape[0]! * x.shape[1]!; plane++) {
      const channel = plane % x.shape[1]!;
      const group = Math.floor(channel / depth);
      const firstOutput = Math.floor(plane / x.shape[1]!) * channels + group * width;
      for (let m = 0; m < width; m++) {
        const to = (firstOutput + m) * block;
        const at = (channel * width + m) * taps;
        for (let p = 0; p < positions; p++) {
          const value = source[plane * positions + p]!;
          for (let k = 0; k < taps; k++) {
            const offset = table[p * taps + k]!;
            if (offset >= 0) result.data[to + offset]! += weight[at + k]! * value;
          }
        }
      }
    }
    return [result];
  },
);

export const convolutionOperators: readonly OperatorDefinition[] = [conv, convTranspose];
