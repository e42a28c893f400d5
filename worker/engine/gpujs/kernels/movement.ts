import {
  intAttribute,
  intsAttribute,
  normalizeAxis,
  sizeOf,
  stridesOf,
  type Node,
} from '../../../../graph/index.js';
import type { CellRule, CellRules, CellValue, Place } from '../cell.js';
import type { KernelContext } from '../kernel.js';
import { known } from '../errors.js';
import { broadcastPlace } from './elementwise.js';
import { padCells } from './pad.js';

/** The first input as it lies at other places: `shape`, walked with `strides` over it from `start`. */
function moved(
  node: Node,
  context: KernelContext,
  output: string,
  shape: readonly number[],
  strides: readonly number[],
  start = 0,
): CellValue {
  return copied(node, context, output, (body) => body.place(shape, strides, start));
}

function copied(node: Node, context: KernelContext, output: string, place: Place): CellValue {
  const size = sizeOf(context.typeOf(output).shape);
  return { node, output, size, reads: [{ value: node.inputs[0]!, place }], copies: true, write: ([x]) => x! };
}

const transpose: CellRule = (node, context) => {
  const { shape } = context.typeOf(node.inputs[0]!);
  const strides = stridesOf(shape);
  const perm = intsAttribute(node, 'perm') ?? shape.map((_, axis) => shape.length - 1 - axis);
  const walked = perm.map((axis) => strides[normalizeAxis(axis, shape.length)]!);
  const output = node.outputs[0]!;
  return [moved(node, context, output, context.typeOf(output).shape, walked)];
};

const expand: CellRule = (node, context) => {
  const output = node.outputs[0]!;
  const place = broadcastPlace(context.typeOf(node.inputs[0]!).shape, context.typeOf(output).shape);
  return [copied(node, context, output, place)];
};

/** Each axis is read as two: the repeat, with stride 0, and the axis itself. */
const tile: CellRule = (node, context) => {
  const { shape } = context.typeOf(node.inputs[0]!);
  const output = node.outputs[0]!;
  const target = context.typeOf(output).shape;
  const walked = shape.flatMap((dim, axis) => [target[axis]! / dim, dim]);
  return [
    moved(
      node,
      context,
      output,
      walked,
      stridesOf(shape).flatMap((stride) => [0, stride]),
    ),
  ];
};

const slice: CellRule = (node, context) => {
  const { shape } = context.typeOf(node.inputs[0]!);
  const rank = shape.length;
  const given = (index: number): readonly number[] | undefined =>
    (node.inputs[index] ?? '') === '' ? undefined : known(context.constantOf(node.inputs[index]!), 'bounds');
  const starts = given(1)!;
  const axes = (given(3) ?? starts.map((_, i) => i)).map((axis) => normalizeAxis(axis, rank));
  const steps = given(4) ?? axes.map(() => 1);
  const strides = stridesOf(shape);
  const walked = [...strides];
  let start = 0;
  axes.forEach((axis, i) => {
    const [dim, step] = [shape[axis]!, steps[i]!];
    const at = starts[i]! < 0 ? starts[i]! + dim : starts[i]!;
    start += Math.min(Math.max(at, 0), step > 0 ? dim : dim - 1) * strides[axis]!;
    walked[axis] = step * strides[axis]!;
  });
  const output = node.outputs[0]!;
  return [moved(node, context, output, context.typeOf(output).shape, walked, start)];
};

const split: CellRule = (node, context) => {
  const { shape } = context.typeOf(node.inputs[0]!);
  const axis = normalizeAxis(intAttribute(node, 'axis', 0), shape.length);
  const strides = stridesOf(shape);
  const lengths = splitLengths(node, context, shape[axis]!);
  const parts: CellValue[] = [];
  let at = 0;
  node.outputs.forEach((output, k) => {
    if (output !== '' && lengths[k]! > 0) {
      parts.push(moved(node, context, output, context.typeOf(output).shape, strides, at * strides[axis]!));
    }
    at += lengths[k]!;
  });
  return parts;
};

/** The lengths of the parts: given, or even, with a shorter last one where they do not divide. */
function splitLengths(node: Node, context: KernelContext, dim: number): readonly number[] {
  const given = (node.inputs[1] ?? '') === '' ? undefined : context.constantOf(node.inputs[1]!);
  const share = Math.ceil(dim / node.outputs.length);
  return given ?? node.outputs.map((_, k) => Math.max(0, Math.min(share, dim - k * share)));
}

/** Most inputs that one launch joins: a GPU binds few buffers at once. */
const JOINED = 6;

/** Parts one after another along an axis; many of them in several launches, each on what the last one joined. */
const concat: CellRule = (node, context) => {
  const output = node.outputs[0]!;
  const { shape } = context.typeOf(output);
  const axis = normalizeAxis(intAttribute(node, 'axis', 0), shape.length);
  const parts = node.inputs.filter((name) => sizeOf(context.typeOf(name).shape) > 0);
  const lengthOf = (name: string): number => context.typeOf(name).shape[axis]!;
  const joins: CellValue[] = [];
  let joined: { readonly name: string; readonly length: number }[] = [];
  for (let next = 0; next < parts.length;) {
    const taken = parts.slice(next, next + JOINED - joined.length);
    next += taken.length;
    const pieces = [...joined, ...taken.map((name) => ({ name, length: lengthOf(name) }))];
    const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
    const name = next < parts.length ? context.fresh('joined') : output;
    joins.push(join(node, name, pieces, shape.with(axis, length), axis));
    joined = [{ name, length }];
  }
  return joins;
};

function join(
  node: Node,
  output: string,
  pieces: readonly { readonly name: string; readonly length: number }[],
  shape: readonly number[],
  axis: number,
): CellValue {
  const starts: number[] = [];
  let end = 0;
  for (const { length } of pieces) {
    starts.push(end);
    end += length;
  }
  const [outer, inner] = [sizeOf(shape.slice(0, axis)), sizeOf(shape.slice(axis + 1))];
  const blocks = [outer, shape[axis]!, inner];
  const placeIn =
    (piece: number): Place =>
    (body) => {
      const [block, at, within] = body.coordinates(blocks);
      const { length } = pieces[piece]!;
      const local = body.integer(`Math.min(Math.max(${at!} - ${starts[piece]!}, 0), ${length - 1})`);
      return body.integer(`(${block!} * ${length} + ${local}) * ${inner} + ${within!}`);
    };
  return {
    node,
    output,
    size: sizeOf(shape),
    reads: pieces.map(({ name }, piece) => ({
      value: name,
      place: pieces.length === 1 ? 'cell' : placeIn(piece),
    })),
    write: (operands, body) => {
      const at = body.coordinates(blocks)[1]!;
      return operands.reduceRight((rest, operand, piece) =>
        piece === operands.length - 1 ? operand : `(${at} < ${starts[piece + 1]!} ? ${operand} : ${rest})`,
      );
    },
  };
}

/** The upper or the lower triangle of the last two axes; zero elsewhere. */
const trilu: CellRule = (node, context) => {
  const output = node.outputs[0]!;
  const { shape } = context.typeOf(output);
  const [rows, columns] = shape.slice(-2) as [number, number];
  const upper = intAttribute(node, 'upper', 1) === 1;
  const diagonal = node.inputs[1] ?? '';
  const cell = copied(node, context, output, 'cell');
  return [
    {
      node,
      output,
      size: cell.size,
      reads: diagonal === '' ? cell.reads : [...cell.reads, { value: diagonal, place: () => '0' }],
      write: ([x, k = '0'], body) => {
        const [, row, column] = body.coordinates([sizeOf(shape) / (rows * columns), rows, columns]);
        return `(${column!} - ${row!} ${upper ? '>=' : '<='} ${k} ? ${x!} : 0)`;
      },
    },
  ];
};

/** DepthToSpace and SpaceToDepth: axes split, permuted and joined. */
const depthToSpace: CellRule = (node, context) => {
  const [n, c, h, w] = context.typeOf(node.inputs[0]!).shape as [number, number, number, number];
  const b = intAttribute(node, 'blocksize', 1);
  const deep = c / (b * b);
  const columnFirst = node.attributes['mode']?.kind === 'string' && node.attributes['mode'].value === 'CRD';
  // a cell of the output is [n, deep, h, b, w, b]
  const [byRow, byColumn] = columnFirst ? [b * h * w, h * w] : [b * deep * h * w, deep * h * w];
  const byDepth = columnFirst ? b * b * h * w : h * w;
  const output = node.outputs[0]!;
  return [moved(node, context, output, [n, deep, h, b, w, b], [c * h * w, byDepth, w, byRow, 1, byColumn])];
};

const spaceToDepth: CellRule = (node, context) => {
  const [n, c, h, w] = context.typeOf(node.inputs[0]!).shape as [number, number, number, number];
  const b = intAttribute(node, 'blocksize', 1);
  // a cell of the output is [n, b, b, c, h / b, w / b]
  const walked = [n, b, b, c, h / b, w / b];
  return [moved(node, context, node.outputs[0]!, walked, [c * h * w, w, 1, h * w, b * w, b])];
};

export const movementCells: CellRules = {
  Concat: concat,
  DepthToSpace: depthToSpace,
  Expand: expand,
  Pad: padCells,
  Slice: slice,
  SpaceToDepth: spaceToDepth,
  Split: split,
  Tile: tile,
  Transpose: transpose,
  Trilu: trilu,
};
