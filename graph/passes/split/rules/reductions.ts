import { attribute, intAttribute, intsAttribute, type Node } from '../../../ir/graph.js';
import { normalizeAxis, sizeOf, type TensorType } from '../../../ir/tensor.js';
import { sortedAxes } from '../../../formula/index.js';
import { cutBox, overlap, type Box } from '../box.js';
import type { Pieces } from '../pieces.js';
import type { SplitRule, SplitRules } from '../rule.js';

/** How results of parts of the elements become that of all. */
const JOINED: Readonly<Record<string, { readonly part: string; readonly join: string } | undefined>> = {
  ReduceL1: { part: 'ReduceL1', join: 'Add' },
  ReduceMax: { part: 'ReduceMax', join: 'Max' },
  ReduceMean: { part: 'ReduceSum', join: 'Add' },
  ReduceMin: { part: 'ReduceMin', join: 'Min' },
  ReduceProd: { part: 'ReduceProd', join: 'Mul' },
  ReduceSum: { part: 'ReduceSum', join: 'Add' },
  ReduceSumSquare: { part: 'ReduceSumSquare', join: 'Add' },
};

const reduction: SplitRule = {
  write(node, pieces, [type]) {
    const { f } = pieces;
    const x = node.inputs[0]!;
    const from = pieces.shapeOf(x);
    const axes = axesOf(node, pieces, from.length);
    const keptDims = intAttribute(node, 'keepdims', 1) === 1;
    const free = from.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
    const write = (box: Box): string => {
      const region = regionOf(box, from, axes, keptDims);
      const reduce = (operator: string, part: string) => f.reduce(operator, part, axes, keptDims);
      if (axes.length === 0 || !pieces.isLarge({ dtype: type!.dtype, shape: region.shape }))
        return axes.length === 0
          ? unreduced(node, pieces, pieces.read(x, region))
          : reduce(node.operator, pieces.read(x, region));
      const joined = JOINED[node.operator];
      if (!joined) throw pieces.refusal(x, { dtype: type!.dtype, shape: region.shape });
      const parts = partsOf(pieces, x, region, free).map((part) => reduce(joined.part, pieces.read(x, part)));
      const all = parts.reduce((sum, part) => f.one(joined.join, [sum, part]));
      return node.operator === 'ReduceMean' ? f.div(all, sizeOf(axes.map((axis) => from[axis]!))) : all;
    };
    const hints = new Map(
      free.map((axis, i): [number, readonly number[]] => [keptDims ? axis : i, pieces.cutsOf(x, axis)]),
    );
    return [pieces.made(node.outputs[0]!, type!, write, { hints })];
  },
  // those that nothing joins need all that they reduce; their axes are not known by type alone
  atoms: (node, typeOf) =>
    JOINED[node.operator] ? [] : [{ value: node.inputs[0]!, shape: typeOf(node.inputs[0]!).shape }],
};

/** Reduces over no axis: what each element by itself gives. */
function unreduced(node: Node, pieces: Pieces, part: string): string {
  const attributes = { ...node.attributes, noop_with_empty_axes: attribute.int(1) };
  return pieces.f.one(node.operator, [part], attributes);
}

function axesOf(node: Node, pieces: Pieces, rank: number): readonly number[] {
  const operand = node.inputs[1] ?? '';
  const given = operand === '' ? intsAttribute(node, 'axes') : pieces.constantOf(operand);
  if (given === undefined && operand !== '')
    throw pieces.refusal(node.inputs[0]!, pieces.typeOf(node.inputs[0]!));
  const none = given === undefined || given.length === 0;
  return none && intAttribute(node, 'noop_with_empty_axes', 0) === 1 ? [] : sortedAxes(given, rank);
}

/** What a box of the result is made of: all of the axes that are reduced. */
function regionOf(box: Box, from: readonly number[], axes: readonly number[], keptDims: boolean): Box {
  let at = 0;
  const places = from.map((_, axis) => (keptDims ? axis : axes.includes(axis) ? -1 : at++));
  return {
    start: places.map((place, axis) => (axes.includes(axis) ? 0 : box.start[place]!)),
    shape: places.map((place, axis) => (axes.includes(axis) ? from[axis]! : box.shape[place]!)),
  };
}

/** A region cut along what is reduced alone: into the pieces that there are, if those are cut so. */
function partsOf(pieces: Pieces, x: string, region: Box, free: readonly number[]): readonly Box[] {
  const stored = pieces.valueOf(x).pieces.flatMap(({ box }) => overlap(box, region) ?? []);
  const wholeRows = stored.every(({ shape }) => free.every((axis) => shape[axis] === region.shape[axis]));
  if (wholeRows) return stored;
  // one element of each axis that is reduced has room: the result has
  const least = sizeOf(free.map((axis) => region.shape[axis]!));
  return cutBox(region, { most: Math.max(least, pieces.most), keep: free })!;
}

/** The place of the largest or smallest along an axis, all of which it needs. */
const argument: SplitRule = {
  write(node, pieces, [type]) {
    const x = node.inputs[0]!;
    const from = pieces.shapeOf(x);
    const axis = normalizeAxis(intAttribute(node, 'axis', 0), from.length);
    const keptDims = intAttribute(node, 'keepdims', 1) === 1;
    const write = (box: Box) =>
      pieces.f.one(node.operator, [pieces.read(x, regionOf(box, from, [axis], keptDims))], node.attributes);
    const most = Math.max(1, Math.floor(pieces.most / from[axis]!));
    return [pieces.made(node.outputs[0]!, type!, write, { most })];
  },
  atoms(node, typeOf) {
    const value = node.inputs[0]!;
    const { shape }: TensorType = typeOf(value);
    const axis = normalizeAxis(intAttribute(node, 'axis', 0), shape.length);
    return [{ value, shape: shape.map((dim, i) => (i === axis ? dim : 1)) }];
  },
};

const OTHERS = ['ReduceL2', 'ReduceLogSum', 'ReduceLogSumExp'];

export const REDUCTIONS: SplitRules = {
  ...Object.fromEntries([...Object.keys(JOINED), ...OTHERS].map((operator) => [operator, reduction])),
  ArgMax: argument,
  ArgMin: argument,
};
