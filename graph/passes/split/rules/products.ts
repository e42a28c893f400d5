import { attribute, floatAttribute, intAttribute, type Node } from '../../../ir/graph.js';
import { sizeOf } from '../../../ir/tensor.js';
import { broadcastBox, intervals, withAxis, type Box, type Interval } from '../box.js';
import type { Pieces } from '../pieces.js';
import type { SplitRule, SplitRules } from '../rule.js';

/** Runs of the axis that is summed over, short enough for both operands. */
function runsOf(
  pieces: Pieces,
  depth: number,
  perRow: number,
  hints: readonly number[],
): readonly Interval[] {
  return intervals(0, depth, Math.max(1, Math.floor(pieces.most / perRow)), hints);
}

/** Rows and columns of the result; the axis that is summed over in runs, where an operand is too large for one. */
const matMul: SplitRule = {
  takes: (node, typeOf) => node.inputs.every((input) => typeOf(input).shape.length >= 2),
  write(node, pieces, [type]) {
    const [a, b] = node.inputs as [string, string];
    const rank = type!.shape.length;
    const [shapeA, shapeB] = [pieces.shapeOf(a), pieces.shapeOf(b)];
    const depth = shapeA.at(-1)!;
    const cuts = [...pieces.cutsOf(a, shapeA.length - 1), ...pieces.cutsOf(b, shapeB.length - 2)];
    const write = (box: Box): string => {
      const left = operandBox(box, shapeA);
      const right = operandBox(box, shapeB);
      const perRow = Math.max(sizeOf(left.shape.slice(0, -1)), sizeOf(right.shape.with(-2, 1)));
      const parts = runsOf(pieces, depth, perRow, cuts).map((run) => {
        const x = pieces.read(a, withAxis(left, shapeA.length - 1, run));
        const y = pieces.read(b, withAxis(right, shapeB.length - 2, run));
        return pieces.f.matmul(x, y);
      });
      return parts.reduce((sum, part) => pieces.f.add(sum, part));
    };
    const hints = new Map([
      [rank - 2, pieces.cutsOf(a, shapeA.length - 2)],
      [rank - 1, pieces.cutsOf(b, shapeB.length - 1)],
    ]);
    return [pieces.made(node.outputs[0]!, type!, write, { hints })];
  },
};

/** What a box of a product reads of an operand, but for the axis that is summed over. */
function operandBox(box: Box, shape: readonly number[]): Box {
  const rank = shape.length;
  const lead = box.shape.length - rank;
  const batch = broadcastBox(
    { start: box.start.slice(0, -2), shape: box.shape.slice(0, -2) },
    shape.slice(0, -2),
  );
  const ofMatrix = (all: readonly number[]) => [all[lead + rank - 2]!, all[lead + rank - 1]!];
  return {
    start: [...batch.start, ...ofMatrix(box.start)],
    shape: [...batch.shape, ...ofMatrix(box.shape)],
  };
}

const gemm: SplitRule = {
  write(node, pieces, [type]) {
    const { f } = pieces;
    const [a, b, c = ''] = node.inputs as [string, string, string?];
    const form = formOf(node);
    const depth = pieces.shapeOf(a)[form.depthA]!;
    const cuts = [...pieces.cutsOf(a, form.depthA), ...pieces.cutsOf(b, form.depthB)];
    const write = ({ start, shape }: Box): string => {
      const along = (axis: number): Interval => ({ start: start[axis]!, length: shape[axis]! });
      const [rows, columns] = [along(0), along(1)];
      const parts = runsOf(pieces, depth, Math.max(rows.length, columns.length), cuts).map((run, i) => {
        const x = pieces.read(a, boxOf(rows, run, 1 - form.depthA));
        const y = pieces.read(b, boxOf(columns, run, 1 - form.depthB));
        const bias =
          i > 0 || c === '' ? [] : [pieces.read(c, broadcastBox({ start, shape }, pieces.shapeOf(c)))];
        return f.one('Gemm', [x, y, ...bias], form.attributes(bias.length > 0));
      });
      return parts.reduce((sum, part) => f.add(sum, part));
    };
    const hints = new Map([
      [0, pieces.cutsOf(a, 1 - form.depthA)],
      [1, pieces.cutsOf(b, 1 - form.depthB)],
    ]);
    return [pieces.made(node.outputs[0]!, type!, write, { hints })];
  },
};

function formOf(node: Node) {
  const transA = intAttribute(node, 'transA', 0);
  const transB = intAttribute(node, 'transB', 0);
  const alpha = floatAttribute(node, 'alpha', 1);
  const beta = floatAttribute(node, 'beta', 1);
  return {
    /** The axis of each operand that is summed over. */
    depthA: transA === 1 ? 0 : 1,
    depthB: transB === 1 ? 1 : 0,
    attributes: (biased: boolean) => ({
      ...(transA === 0 ? {} : { transA: attribute.int(transA) }),
      ...(transB === 0 ? {} : { transB: attribute.int(transB) }),
      ...(alpha === 1 ? {} : { alpha: attribute.float(alpha) }),
      ...(beta === 1 || !biased ? {} : { beta: attribute.float(beta) }),
    }),
  };
}

function boxOf(own: Interval, run: Interval, ownAxis: number): Box {
  const [first, second] = ownAxis === 0 ? [own, run] : [run, own];
  return { start: [first.start, second.start], shape: [first.length, second.length] };
}

export const PRODUCTS: SplitRules = { Gemm: gemm, MatMul: matMul };
