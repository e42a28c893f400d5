import { ShapeError } from '../errors.js';
import { intAttribute, intsAttribute, type Node } from '../ir/graph.js';
import { formatType, sizeOf, stridesOf, type TensorType } from '../ir/tensor.js';
import type { OperatorDefinition, Reference } from './definition.js';
import {
  axesIn,
  axisIn,
  checkedShape,
  define,
  knownInts,
  operand,
  requiredInts,
  sameType,
  valueOf,
} from './operands.js';
import { broadcastTo } from './binary.js';
import { broadcastShapes, offsetsOf } from './walk.js';

/** The elements at `offsets`, as a value of `type`. */
function picked(type: TensorType, source: Reference, offsets: Int32Array): Reference {
  return valueOf(
    type,
    Float64Array.from(offsets, (offset) => source.data[offset]!),
  );
}

function permutation(node: Node, rank: number): readonly number[] {
  const perm = intsAttribute(node, 'perm') ?? Array.from({ length: rank }, (_, i) => rank - 1 - i);
  if (perm.length !== rank) {
    throw new ShapeError(
      node,
      `perm [${perm.join(', ')}] must name each of the ${rank} axes of its input once`,
    );
  }
  return axesIn(node, perm, rank);
}

const transpose = define(
  'Transpose',
  (node, inputs) => {
    const { dtype, shape } = operand(node, inputs, 0);
    return [{ dtype, shape: permutation(node, shape.length).map((axis) => shape[axis]!) }];
  },
  (node, inputs, [type]) => {
    const source = operand(node, inputs, 0);
    const strides = stridesOf(source.shape);
    const perm = permutation(node, source.shape.length);
    const walked = perm.map((axis) => strides[axis]!);
    return [picked(type!, source, offsetsOf(type!.shape, walked))];
  },
);

const expand = define(
  'Expand',
  (node, inputs, constants) => {
    const { dtype, shape } = operand(node, inputs, 0);
    const asked = checkedShape(node, requiredInts(node, inputs, constants, 1, 'shape'));
    return [{ dtype, shape: checkedShape(node, broadcastShapes(node, [shape, asked])) }];
  },
  (node, inputs, [type]) => [valueOf(type!, broadcastTo(operand(node, inputs, 0), type!.shape))],
);

const tile = define(
  'Tile',
  (node, inputs, constants) => {
    const { dtype, shape } = operand(node, inputs, 0);
    const repeats = requiredInts(node, inputs, constants, 1, 'repeats');
    if (repeats.length !== shape.length) {
      throw new ShapeError(
        node,
        `repeats [${repeats.join(', ')}] must have one entry for each of ${shape.length} axes`,
      );
    }
    return [
      {
        dtype,
        shape: checkedShape(
          node,
          shape.map((dim, axis) => dim * repeats[axis]!),
        ),
      },
    ];
  },
  (node, inputs, [type]) => {
    const source = operand(node, inputs, 0);
    const strides = stridesOf(source.shape);
    // Each axis is read as two: the repeat, with stride 0, and the axis itself.
    const shape = source.shape.flatMap((dim, axis) => [dim === 0 ? 0 : type!.shape[axis]! / dim, dim]);
    const walked = strides.flatMap((stride) => [0, stride]);
    return [picked(type!, source, offsetsOf(shape, walked))];
  },
);

const concat = define(
  'Concat',
  (node, inputs) => {
    const parts = inputs.map((_, i) => operand(node, inputs, i));
    const first = operand(node, inputs, 0);
    const axis = axisIn(node, intAttribute(node, 'axis', 0), first.shape.length);
    let length = 0;
    parts.forEach((part, i) => {
      sameType(node, first, part, i);
      const fits =
        part.shape.length === first.shape.length &&
        part.shape.every((dim, at) => at === axis || dim === first.shape[at]);
      if (!fits) {
        throw new ShapeError(
          node,
          `cannot join ${formatType(first)} and ${formatType(part)} along axis ${axis}: another length differs`,
        );
      }
      length += part.shape[axis]!;
    });
    return [{ dtype: first.dtype, shape: first.shape.map((dim, at) => (at === axis ? length : dim)) }];
  },
  (node, inputs, [type]) => {
    const result = valueOf(type!);
    const axis = axisIn(node, intAttribute(node, 'axis', 0), type!.shape.length);
    const row = sizeOf(type!.shape.slice(axis));
    let at = 0;
    inputs.forEach((_, i) => {
      const part = operand(node, inputs, i);
      const block = sizeOf(part.shape.slice(axis));
      for (let k = 0; k * block < part.data.length; k++) {
        result.data.set(part.data.subarray(k * block, (k + 1) * block), k * row + at);
      }
      at += block;
    });
    return [result];
  },
);

/** The lengths of a Split: given, or even, with a shorter last part where they do not divide. */
export function splitLengths(
  node: Node,
  dim: number,
  given: readonly number[] | undefined,
): readonly number[] {
  const count = node.outputs.length;
  const share = Math.ceil(dim / count);
  const lengths =
    given ?? Array.from({ length: count }, (_, i) => Math.max(0, Math.min(share, dim - i * share)));
  const total = lengths.reduce((sum, length) => sum + length, 0);
  if (lengths.length !== count || total !== dim || lengths.some((length) => length < 0)) {
    throw new ShapeError(
      node,
      `cannot split a length of ${dim} into ${count} outputs of [${lengths.join(', ')}]`,
    );
  }
  return lengths;
}

const split = define(
  'Split',
  (node, inputs, constants) => {
    const { dtype, shape } = operand(node, inputs, 0);
    const axis = axisIn(node, intAttribute(node, 'axis', 0), shape.length);
    const lengths = splitLengths(node, shape[axis]!, knownInts(node, inputs, constants, 1, 'lengths'));
    return lengths.map((length) => ({ dtype, shape: shape.map((dim, at) => (at === axis ? length : dim)) }));
  },
  (node, inputs, types) => {
    const source = operand(node, inputs, 0);
    const axis = axisIn(node, intAttribute(node, 'axis', 0), source.shape.length);
    const strides = stridesOf(source.shape);
    let at = 0;
    return types.map((type) => {
      const part = picked(type, source, offsetsOf(type.shape, strides, at * strides[axis]!));
      at += type.shape[axis]!;
      return part;
    });
  },
);

/** One axis of a Slice: where it starts, how it steps and how many elements it takes. */
interface Cut {
  readonly start: number;
  readonly step: number;
  readonly length: number;
}

/** Starts, ends, axes and steps of a Slice, clamped to the input as the specification says. */
function cutsOf(
  node: Node,
  shape: readonly number[],
  given: readonly (readonly number[] | undefined)[],
): readonly Cut[] {
  const [starts, ends, namedAxes, namedSteps] = given;
  const axes = axesIn(node, namedAxes ?? starts!.map((_, i) => i), shape.length);
  const steps = namedSteps ?? axes.map(() => 1);
  if (starts!.length !== axes.length || ends!.length !== axes.length || steps.length !== axes.length) {
    throw new ShapeError(node, 'its starts, ends, axes and steps differ in number');
  }
  const cuts: Cut[] = shape.map((length) => ({ start: 0, step: 1, length }));
  axes.forEach((axis, i) => {
    const dim = shape[axis]!;
    const step = steps[i]!;
    if (step === 0) throw new ShapeError(node, `the step of axis ${axis} is 0`);
    const fromFront = (at: number): number => (at < 0 ? at + dim : at);
    const clamp = (at: number, low: number, high: number): number =>
      Math.min(Math.max(fromFront(at), low), high);
    const start = step > 0 ? clamp(starts![i]!, 0, dim) : clamp(starts![i]!, 0, dim - 1);
    const end = step > 0 ? clamp(ends![i]!, 0, dim) : clamp(ends![i]!, -1, dim - 1);
    cuts[axis] = { start, step, length: dim === 0 ? 0 : Math.max(0, Math.ceil((end - start) / step)) };
  });
  return cuts;
}

const slice = define(
  'Slice',
  (node, inputs, constants) => {
    const { dtype, shape } = operand(node, inputs, 0);
    const cuts = cutsOf(node, shape, [
      requiredInts(node, inputs, constants, 1, 'starts'),
      requiredInts(node, inputs, constants, 2, 'ends'),
      knownInts(node, inputs, constants, 3, 'axes'),
      knownInts(node, inputs, constants, 4, 'steps'),
    ]);
    return [{ dtype, shape: cuts.map(({ length }) => length) }];
  },
  (node, inputs, [type]) => {
    const source = operand(node, inputs, 0);
    const given = [1, 2, 3, 4].map((i) => inputs[i] && Array.from(inputs[i].data));
    const cuts = cutsOf(node, source.shape, given);
    const strides = stridesOf(source.shape);
    const start = cuts.reduce((sum, cut, axis) => sum + cut.start * strides[axis]!, 0);
    const walked = cuts.map((cut, axis) => cut.step * strides[axis]!);
    return [picked(type!, source, offsetsOf(type!.shape, walked, start))];
  },
);

/** Trilu: the upper (default) or lower triangle of the last two axes, from diagonal k on; zero elsewhere. */
const trilu = define(
  'Trilu',
  (node, inputs) => {
    const { dtype, shape } = operand(node, inputs, 0);
    if (shape.length < 2) throw new ShapeError(node, 'needs an input of at least two dimensions');
    return [{ dtype, shape }];
  },
  (node, inputs, [type]) => {
    const [rows, columns] = type!.shape.slice(-2);
    const upper = intAttribute(node, 'upper', 1) === 1;
    const diagonal = inputs[1]?.data[0] ?? 0;
    const source = operand(node, inputs, 0).data;
    const kept = source.map((x, i) => {
      const ahead = (i % columns!) - (Math.floor(i / columns!) % rows!);
      return (upper ? ahead >= diagonal : ahead <= diagonal) ? x : 0;
    });
    return [valueOf(type!, kept)];
  },
);

export const movementOperators: readonly OperatorDefinition[] = [
  transpose,
  expand,
  tile,
  concat,
  split,
  slice,
  trilu,
];
